package blockstorage

import (
	"net/http"

	"holdfast/internal/api/kit"
)

// The actions that several kinds of resources have.
const (
	forceDelete = "os-force_delete"
	resetStatus = "os-reset_status"
)

// action carries out one action on the resource that the path names and
// answers it.
type action func(w http.ResponseWriter, r *kit.Request, body *kit.Object) error

// actions returns the handler of a resource's action route: the body is an
// object with one key, which names the action.
func actions(known map[string]action) kit.Handler {
	return func(w http.ResponseWriter, r *kit.Request) error {
		body, err := r.Object()
		if err != nil {
			return err
		}
		keys := body.Keys()
		if len(keys) != 1 {
			return badRequest("Malformed request body")
		}
		act, ok := known[keys[0]]
		if !ok {
			return badRequest("There is no such action: %s. Verify the request body and Content-Type header and try again.",
				clip(keys[0]))
		}
		return act(w, r, body)
	}
}
