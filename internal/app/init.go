package app

import (
	"context"
)

// Made says where an installation's vault is. Paths are as configured.
type Made struct {
	Of
	Vault   string `json:"vault"`
	Data    string `json:"data"`
	Store   string `json:"store"`
	KeyFile string `json:"key_file"`
	NewKey  bool   `json:"new_key"` // the master key was made now
}

// Init makes the vault of a project with its keys, where that is not done. All
// else was made by OpenVault.
func (v *Vault) Init(ctx context.Context, project string) (Made, error) {
	c, err := v.caller(ctx, project)
	if err != nil {
		return Made{}, err
	}
	id, err := v.worker.Vaults.For(ctx, c.ProjectID)
	return Made{
		Of: Of{Project: c.ProjectID, Name: c.ProjectName}, Vault: id.String(),
		Data: v.cfg.Data, Store: v.cfg.Store.String(), KeyFile: v.cfg.MasterKeyFile, NewKey: v.firstStart,
	}, err
}
