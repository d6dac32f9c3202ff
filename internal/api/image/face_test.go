package image_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"testing"

	"holdfast/internal/api/image"
	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/clock"
)

type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (backup.Caller, error) {
	if token != "good" {
		return backup.Caller{}, backup.Errorf(backup.Unauthorized, "unknown token")
	}
	return backup.Caller{UserID: "u", ProjectID: "p", Roles: []string{"reader"}}, nil
}

func TestFace(t *testing.T) {
	h, err := image.New(image.Config{Auth: tokens{}, PublicURL: "http://cloud.example/image", IdentityURL: "http://cloud.example/identity"},
		kit.Env{Log: slog.New(slog.DiscardHandler), Clock: clock.Real{}, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	const versions = `{"versions":[{"id":"v2.9","status":"CURRENT","links":[{"rel":"self","href":"http://cloud.example/image/v2/"}]}]}`
	const refused = `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`
	for _, tc := range []struct {
		method, path, token string
		code                int
		body                string // empty: any JSON
	}{
		{"GET", "/", "", 300, versions},
		{"GET", "/versions", "", 300, versions},
		{"GET", "/v2", "", 300, versions},
		{"GET", "/v2/", "", 300, versions},
		{"GET", "/v2/images", "good", 200, `{"images":[],"first":"/v2/images","schema":"/v2/schemas/images"}`},
		{"GET", "/v2/images?name=a%20b&limit=1", "good", 200, `{"images":[],"first":"/v2/images?limit=1&name=a+b","schema":"/v2/schemas/images"}`},
		{"GET", "/v2/images", "", 401, refused},
		{"GET", "/v2/images", "bad", 401, refused},
		{"GET", "/v2/images/i1", "good", 404, `{"error":{"code":404,"message":"No image found with ID i1","title":"Not Found"}}`},
		{"GET", "/v2/schemas/images", "good", 200, ""},
		{"GET", "/v2/schemas/image", "good", 200, ""},
		{"POST", "/v2/images", "good", 405, ""},
		{"DELETE", "/v2/images/i1", "good", 405, ""},
		{"GET", "/v1/images", "good", 404, ""},
	} {
		r := httptest.NewRequest(tc.method, tc.path, nil)
		r.Header.Set("X-Auth-Token", tc.token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.code || tc.body != "" && w.Body.String() != tc.body || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, w.Code, w.Body)
		}
	}
}
