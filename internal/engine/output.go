package engine

import (
	"context"

	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// evaluate works the outputs of a service out.
func (e *Engine) evaluate(ctx context.Context, a *actor) *service.Fact {
	var outputs []service.OutputSpec
	var scope render.Scope
	e.read(a, func(svc *service.Service) {
		outputs = svc.Spec.Outputs
		scope = e.scopeAround(a, svc.Roles, svc.Resources, svc.Suppliers)
	})
	came := &service.Evaluation{Values: make(map[string]string, len(outputs)), Why: map[string]string{}}
	for n := range outputs {
		o := &outputs[n]
		value, err := render.Text(ctx, "outputs."+o.Name, o.Value, &scope)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			came.Why[o.Name] = err.Error()
			continue
		}
		came.Values[o.Name] = value
	}
	return &service.Fact{Kind: service.Evaluated, Evaluation: came}
}

// scopeAround is what templates of a service see that are no instance's: those roles, resources and needed services.
func (e *Engine) scopeAround(a *actor, roles []*service.Role, resources []*service.Resource, suppliers []*service.Supplier) render.Scope {
	svc := a.svc
	scope := render.Scope{Service: render.Service{Name: svc.Meta.Name, ID: idText(svc.ID)}, Inputs: svc.Spec.Inputs, Variables: svc.Spec.Variables,
		Keys: keysAround(resources, suppliers), Roles: make(map[string]render.Peers, len(roles)), Strict: true}
	for _, r := range roles {
		scope.Roles[r.Name] = a.peersOf(r, e.store.Installation().ID)
	}
	return scope
}

// keysAround shows resources and needed services to templates.
func keysAround(resources []*service.Resource, suppliers []*service.Supplier) map[string]any {
	if len(resources)+len(suppliers) == 0 {
		return nil
	}
	keys := make(map[string]any, 2)
	if len(resources) > 0 {
		shown := make(map[string]any, len(resources))
		for _, x := range resources {
			shown[x.Name] = x.Outputs
		}
		keys["resources"] = shown
	}
	if len(suppliers) > 0 {
		shown := make(map[string]any, len(suppliers))
		for _, x := range suppliers {
			outputs := make(map[string]any, len(x.Outputs))
			for name, value := range x.Outputs {
				outputs[name] = value
			}
			shown[x.Name] = map[string]any{"id": idText(x.Service), "outputs": outputs}
		}
		keys["services"] = shown
	}
	return keys
}
