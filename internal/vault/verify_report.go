package vault

// DamagedPack is a generation of a pack that is not as it was written.
type DamagedPack struct {
	Pack       ID
	Generation uint32
	Kind       PackKind
	Object     string // where it lies, or should; empty: nobody knows
	What       []string
}
