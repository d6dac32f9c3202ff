package format_test

import (
	"testing"

	"holdfast/internal/vault/format"
)

func FuzzSession(f *testing.F) {
	vault := format.ID{1}
	f.Add(format.Name(vault, format.Packs, format.ID{2}, 17, format.ID{3}))
	f.Add(format.Name(vault, format.Packs, format.ID{2}, -1, format.ID{3}))
	f.Add(format.Name(vault, format.Pages, format.ID{2}, 1, format.ID{3}))
	f.Add(format.Name(format.ID{9}, format.Packs, format.ID{2}, 1, format.ID{3}))
	f.Add(format.RoomPrefix(vault, format.Packs) + "x-1-y")
	f.Fuzz(func(t *testing.T, name string) {
		session, ok := format.ParseSession(vault, format.Packs, name)
		prefix := format.RoomPrefix(vault, format.Packs) + session.String() + "-"
		if ok && (len(name) < len(prefix) || name[:len(prefix)] != prefix) {
			t.Errorf("%q is of session %s", name, session)
		}
	})
}

func TestSession(t *testing.T) {
	name := format.Name(format.ID{1}, format.Packs, format.ID{2}, 17, format.ID{3})
	if s, ok := format.ParseSession(format.ID{1}, format.Packs, name); !ok || s != (format.ID{2}) {
		t.Errorf("%q is of session %s, %v", name, s, ok)
	}
	for _, bad := range []string{"", name + "0", name[:len(name)-1], "x" + name, name[:60] + "0" + name[60:]} {
		if _, ok := format.ParseSession(format.ID{1}, format.Packs, bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, ok := format.ParseSession(format.ID{1}, format.Pages, name); ok {
		t.Error("another room's name is taken")
	}
	if _, ok := format.ParseSession(format.ID{4}, format.Packs, name); ok {
		t.Error("another vault's name is taken")
	}
}
