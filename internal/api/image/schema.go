package image

import (
	"net/http"

	"holdfast/internal/api/kit"
)

// schema is a JSON schema as Glance serves it.
type schema struct {
	Name       string            `json:"name"`
	Properties map[string]any    `json:"properties"`
	Links      []schemaLink      `json:"links,omitempty"`
	Additional map[string]string `json:"additionalProperties,omitempty"`
}

type schemaLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

func (f *face) imageSchema(w http.ResponseWriter, _ *kit.Request) error {
	return kit.WriteJSON(w, http.StatusOK, imageSchema())
}

func (f *face) listSchema(w http.ResponseWriter, _ *kit.Request) error {
	return kit.WriteJSON(w, http.StatusOK, schema{
		Name: "images",
		Properties: map[string]any{
			"images": map[string]any{"type": "array", "items": imageSchema()},
			"first":  property("string"),
			"next":   property("string"),
			"schema": property("string"),
		},
		Links: []schemaLink{{"first", "{first}"}, {"next", "{next}"}, {"describedby", "{schema}"}},
	})
}

func imageSchema() schema {
	properties := map[string]any{}
	for _, name := range []string{"id", "name", "status", "visibility", "owner", "checksum", "created_at", "updated_at", "container_format", "disk_format", "self", "file", "schema"} {
		properties[name] = property("string")
	}
	for _, name := range []string{"size", "virtual_size", "min_disk", "min_ram"} {
		properties[name] = property("integer")
	}
	properties["protected"] = property("boolean")
	properties["tags"] = map[string]any{"type": "array", "items": property("string")}
	return schema{Name: "image", Properties: properties, Additional: property("string")}
}

func property(kind string) map[string]string { return map[string]string{"type": kind} }
