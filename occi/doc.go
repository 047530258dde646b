// Package occi speaks OCCI, the Open Cloud Computing Interface, in its versions 1.1 and 1.2 and in the dialect of Hurtle: as a
// [Server] over a backend of one's own, and as a [Client].
//
// A service describes what it has by a [Model] of categories, holds its entities behind a [Backend], and serves
// both:
//
//	var shop = occi.Category{
//		ID: "http://example.org/occi/sm#webshop", Class: occi.Kind, Parent: occi.CoreResource, Location: "/webshop/",
//		Attributes: []occi.AttributeDef{{Name: "shop.url", Immutable: true}, {Name: "shop.theme", Default: "light"}},
//	}
//
//	model := occi.MustModel(append(occi.Core(), shop)...)
//	server := occi.NewServer(occi.Options{
//		Backend: newShops(model), // Model, List, Get, Create, Update, Delete, Act
//		Authenticate: func(r *http.Request) (occi.Caller, error) {
//			user, ok := login(r)
//			if !ok {
//				return occi.Caller{}, occi.Unauthorized(`Basic realm="shops"`, "log in first")
//			}
//			return occi.Caller{Tenant: user.Project, Value: user}, nil
//		},
//	})
//	http.ListenAndServe(":8888", server)
//
// The server does all that the protocol asks for: it reads and writes text/plain, text/occi, text/uri-list and JSON, negotiates between
// them, checks categories and attributes against the model, filters and pages collections, resolves links, keeps the mixins
// that users define (see [Mixins]), and bounds everything that a client may send ([Limits]). What a backend gets is clean; what
// it returns is rendered as it is. A backend chooses the status of a refusal by returning an [Error]:
//
//	return nil, occi.NotFound(path)
//	return nil, occi.Errorf(http.StatusConflict, "the shop %s is being built", path)
//
// A service of Hurtle's sets Options.Hurtle, Check: [Unchecked] and Version: "1.1"; its model lists what the query interface is to show,
// without [Core].
//
// A name that begins with a capital letter in the text of the standard has the same meaning here: Category, Kind, Mixin,
// Action, Entity, Link.
package occi
