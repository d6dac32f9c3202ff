package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gopkg.in/yaml.v3"
)

// cloudName is what OS_CLOUD selects in the data folder's clouds.yaml.
const cloudName = "holdfast"

// login is what clouds.yaml says of one user.
type login struct {
	AuthURL       string `yaml:"auth_url"`
	Username      string `yaml:"username"`
	Password      string `yaml:"password"`
	ProjectName   string `yaml:"project_name"`
	UserDomain    string `yaml:"user_domain_name"`
	ProjectDomain string `yaml:"project_domain_name"`
}

type cloud struct {
	Auth   login  `yaml:"auth"`
	Region string `yaml:"region_name"`
}

type clouds struct {
	Clouds map[string]cloud `yaml:"clouds"`
}

// writeClouds makes clouds.yaml for the first user of an installation.
func writeClouds(path, authURL, user, password, project, region string) error {
	content, err := yaml.Marshal(clouds{map[string]cloud{cloudName: {
		Auth: login{
			AuthURL: authURL, Username: user, Password: password, ProjectName: project,
			UserDomain: "Default", ProjectDomain: "Default",
		},
		Region: region,
	}}})
	if err != nil {
		return err
	}
	return writePrivate(path, content)
}

// renewClouds sets values of our cloud's "auth" in an existing clouds.yaml
// and leaves all else in it as it is. It reports false where there is no such
// file or cloud.
func renewClouds(path string, set map[string]string) (bool, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return false, startErrorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return false, nil
	}
	auth := child(child(child(doc.Content[0], "clouds"), cloudName), "auth")
	if auth == nil {
		return false, nil
	}
	for key, value := range set {
		node := child(auth, key)
		if node == nil {
			node = &yaml.Node{Kind: yaml.ScalarNode}
			auth.Content = append(auth.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, node)
		}
		node.SetString(value)
	}
	renewed, err := yaml.Marshal(&doc)
	if err != nil || bytes.Equal(renewed, content) {
		return err == nil, err
	}
	return true, writePrivate(path, renewed)
}

// cloudsUser returns whom clouds.yaml logs in, empty for nobody.
func cloudsUser(path string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c clouds
	if err := yaml.Unmarshal(content, &c); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return c.Clouds[cloudName].Auth.Username, nil
}

// child returns the value of a mapping's key, nil where there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
