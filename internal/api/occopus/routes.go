package occopus

// A route is one method on one path.
type route struct {
	method, path string
	do           func(*Occopus, *request) (any, error)
}

// list is where the infrastructures are.
const list = "/infrastructures/"

// routes are those of Occopus 1.10.
var routes = []route{
	{"POST", list + "{$}", (*Occopus).create},
	{"GET", list + "{$}", (*Occopus).list},
	{"GET", list + "{infra}", (*Occopus).report},
	{"DELETE", list + "{infra}", (*Occopus).remove},
	{"POST", list + "{infra}/attach", (*Occopus).attach},
	{"POST", list + "{infra}/detach", (*Occopus).detach},
	{"POST", list + "{infra}/scaleup/{node}", (*Occopus).scaleUp},
	{"POST", list + "{infra}/scaleup/{node}/{count}", (*Occopus).scaleUp},
	{"POST", list + "{infra}/scaledown/{node}", (*Occopus).scaleDown},
	{"POST", list + "{infra}/scaledown/{node}/{instance}", (*Occopus).scaleDown},
	{"POST", list + "{infra}/scaleto/{node}/{count}", (*Occopus).scaleTo},
	{"POST", list + "{infra}/notify", (*Occopus).notify},
	{"GET", list + "{infra}/cost", (*Occopus).cost},
	{"GET", "/info/{key}", (*Occopus).info},
}
