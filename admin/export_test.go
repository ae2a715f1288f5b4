package admin

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"
)

// Declared finds the documented operation of a request; nil: none.
func (a *API) Declared() func(*http.Request) (*huma.Operation, huma.Registry) {
	router := mux.NewRouter().UseEncodedPath()
	api := a.mount(router)
	return func(r *http.Request) (*huma.Operation, huma.Registry) {
		var match mux.RouteMatch
		if !router.Match(r, &match) || match.MatchErr != nil {
			return nil, nil
		}
		path, _ := match.Route.GetPathTemplate()
		item := api.OpenAPI().Paths[path]
		if item == nil {
			return nil, nil
		}
		return map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete}[r.Method], api.OpenAPI().Components.Schemas
	}
}
