package quickstart

import (
	"fmt"
	"os"

	"gopkg.in/yaml.v3"

	"holdfast/internal/config"
)

// cloudName is the cloud that the data folder's clouds.yaml describes.
const cloudName = "holdfast"

// Login is how a client of an OpenStack cloud proves who it is.
type Login struct {
	AuthURL       string
	Username      string
	Password      config.Secret
	Project       string
	UserDomain    string
	ProjectDomain string
	Region        string
}

// ReadLogin reads the login of the cloud "holdfast" from a clouds.yaml. The
// error holds nothing of the file's content.
func ReadLogin(path string) (Login, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Login{}, fmt.Errorf("read login: %w", err)
	}
	var file struct {
		Clouds map[string]struct {
			Auth struct {
				AuthURL       string `yaml:"auth_url"`
				Username      string `yaml:"username"`
				Password      string `yaml:"password"`
				Project       string `yaml:"project_name"`
				UserDomain    string `yaml:"user_domain_name"`
				ProjectDomain string `yaml:"project_domain_name"`
			} `yaml:"auth"`
			Region string `yaml:"region_name"`
		} `yaml:"clouds"`
	}
	if yaml.Unmarshal(content, &file) != nil { // its error may quote a line
		return Login{}, fmt.Errorf("read login: %s is not YAML of the expected form", path)
	}
	c, ok := file.Clouds[cloudName]
	if !ok || c.Auth.AuthURL == "" || c.Auth.Username == "" || c.Auth.Password == "" {
		return Login{}, fmt.Errorf("read login: %s has no login for the cloud %q", path, cloudName)
	}
	return Login{
		AuthURL: c.Auth.AuthURL, Username: c.Auth.Username, Password: config.Secret(c.Auth.Password),
		Project: c.Auth.Project, UserDomain: c.Auth.UserDomain, ProjectDomain: c.Auth.ProjectDomain,
		Region: c.Region,
	}, nil
}
