package app

import (
	"context"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api/occi"
	"github.com/troupe-dev/troupe/internal/control"
)

// openOCCI puts the OCCI face on its listener, and among those of the main one.
func (a *App) openOCCI(ctx context.Context, c *control.Control, main map[string]http.Handler) error {
	face, err := occi.New(ctx, occi.Options{Control: c, PublicURL: a.opts.PublicURL, Version: a.opts.Version, Log: a.opts.Log.With("face", "occi")})
	if err != nil {
		return err
	}
	main["occi"] = a.api.Face(face.Face("/occi"))
	a.occi.open(a.api.Face(face.Face("")))
	return nil
}
