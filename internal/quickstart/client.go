package quickstart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAnswer bounds an answer's body in bytes.
const maxAnswer = 4 << 20

// Client speaks to a cloud's block storage API with nothing but what any
// client has: the identity service's URL and a login.
type Client struct {
	http  *http.Client
	base  string // of the block storage API, project included
	token string
}

// APIError is an answer that is not a success.
type APIError struct {
	Request string // method and path
	Status  int
	Message string
	ID      string // of the request, as the service's log has it
}

// Error says what was asked and what the service answered.
func (e *APIError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Request, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.ID != "" {
		text += " (" + e.ID + ")"
	}
	return text
}

// isNotFound reports whether the service answered that there is no such thing.
func isNotFound(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// Connect logs in and finds the block storage API in the catalog.
func Connect(ctx context.Context, l Login) (*Client, error) {
	c := &Client{http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 2}, // no proxy: the service is this machine's own
		Timeout:   time.Minute,
	}}
	var answer struct {
		Token struct {
			Catalog []service `json:"catalog"`
		} `json:"token"`
	}
	header, err := c.do(ctx, http.MethodPost, strings.TrimRight(l.AuthURL, "/")+"/auth/tokens", passwordLogin(l), &answer)
	if err != nil {
		return nil, fmt.Errorf("log in as %s: %w", l.Username, err)
	}
	c.token = header.Get("X-Subject-Token")
	c.base = endpoint(answer.Token.Catalog, l.Region)
	if c.token == "" || c.base == "" {
		return nil, fmt.Errorf("log in as %s: the answer holds no token, or no block storage in its catalog", l.Username)
	}
	return c, nil
}

type object map[string]any

func passwordLogin(l Login) object {
	return object{"auth": object{
		"identity": object{
			"methods": []string{"password"},
			"password": object{"user": object{
				"name": l.Username, "password": l.Password.Reveal(), "domain": object{"name": l.UserDomain},
			}},
		},
		"scope": object{"project": object{"name": l.Project, "domain": object{"name": l.ProjectDomain}}},
	}}
}

type service struct {
	Type      string `json:"type"`
	Endpoints []struct {
		Interface string `json:"interface"`
		Region    string `json:"region"`
		URL       string `json:"url"`
	} `json:"endpoints"`
}

// endpoint returns the public URL of the block storage API, under either of
// the two types that catalogs list it by.
func endpoint(catalog []service, region string) string {
	for _, s := range catalog {
		if s.Type != "volumev3" && s.Type != "block-storage" {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Interface == "public" && (region == "" || e.Region == region) {
				return strings.TrimRight(e.URL, "/")
			}
		}
	}
	return ""
}

// call asks the block storage API. A nil answer takes none.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	_, err := c.do(ctx, method, c.base+path, body, answer)
	return err
}

func (c *Client) do(ctx context.Context, method, url string, body, answer any) (http.Header, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, req.URL.Path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, &APIError{
			Request: method + " " + req.URL.Path, Status: resp.StatusCode,
			Message: faultMessage(text), ID: resp.Header.Get("X-Openstack-Request-Id"),
		}
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, req.URL.Path, err)
		}
	}
	return resp.Header, nil
}

// faultMessage takes the message out of {"<name>": {"message": …}}, the form
// of both identity's and block storage's faults.
func faultMessage(text []byte) string {
	var fault map[string]struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &fault) == nil {
		for _, f := range fault {
			return f.Message
		}
	}
	return ""
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
