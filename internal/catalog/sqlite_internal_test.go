package catalog

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		version string
		old     bool
	}{
		{"3.51.2", true},
		{"3.51.3", false},
		{"3.51.10", false},
		{"3.9.99", true},
		{"3.100.0", false},
		{"4.0.0", false},
		{"", true},
	} {
		if got := older(c.version, "3.51.3"); got != c.old {
			t.Errorf("%q: older is %v", c.version, got)
		}
	}
}

func TestNetworkFileSystems(t *testing.T) {
	for magic, want := range map[uint32]bool{
		unix.NFS_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true, 0x0bd00bd0: true,
		unix.EXT4_SUPER_MAGIC: false, unix.XFS_SUPER_MAGIC: false, unix.TMPFS_MAGIC: false, unix.OVERLAYFS_SUPER_MAGIC: false,
	} {
		if _, got := networkFS[magic]; got != want {
			t.Errorf("%#x: refused is %v", magic, got)
		}
	}
	if err := refuseNetworkFS(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := refuseNetworkFS("/does/not/exist"); err == nil {
		t.Error("a folder that does not exist passes")
	}
}
