package dep

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

type accountDetail struct {
	ServerName string `json:"server_name"`
	ServerUUID string `json:"server_uuid"`
	AdminID    string `json:"admin_id"`
	OrgName    string `json:"org_name"`
	OrgEmail   string `json:"org_email"`
	OrgPhone   string `json:"org_phone"`
	OrgAddress string `json:"org_address"`

	OrgID      string      `json:"org_id,omitempty"` // from version 3, as all below
	OrgIDHash  string      `json:"org_id_hash,omitempty"`
	OrgType    string      `json:"org_type,omitempty"`
	OrgVersion string      `json:"org_version,omitempty"`
	URLs       []urlDetail `json:"urls,omitempty"`
}

type urlDetail struct {
	URI        string       `json:"uri"`
	HTTPMethod []string     `json:"http_method"`
	Limit      *limitDetail `json:"limit,omitempty"`
}

type limitDetail struct {
	Default int `json:"default"`
	Maximum int `json:"maximum"`
}

// showAccount is GET /account.
func (c *Cloud) showAccount(q *request) (any, *refusal) {
	o := c.options.Organization
	out := accountDetail{
		ServerName: q.account.name, ServerUUID: q.account.uuid, AdminID: o.Email,
		OrgName: o.Name, OrgEmail: o.Email, OrgPhone: o.Phone, OrgAddress: o.Address,
	}
	if q.version < versionOrg {
		return out, nil
	}
	hash := sha256.Sum256([]byte(c.orgID))
	out.OrgID, out.OrgIDHash, out.OrgType, out.OrgVersion = c.orgID, hex.EncodeToString(hash[:]), o.Type, "v2"
	out.URLs = c.urls()
	return out, nil
}

// urls tells methods and limits by path.
func (c *Cloud) urls() []urlDetail {
	byPath := map[string]*urlDetail{}
	for name, spec := range c.table {
		method, path, _ := strings.Cut(name, " ")
		u := byPath[path]
		if u == nil {
			u = &urlDetail{URI: path}
			byPath[path] = u
		}
		u.HTTPMethod = append(u.HTTPMethod, method)
		if spec.page {
			u.Limit = &limitDetail{min(defaultPage, c.options.PageLimit), c.options.PageLimit}
		}
	}
	var out []urlDetail
	for _, u := range byPath {
		slices.Sort(u.HTTPMethod)
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b urlDetail) int { return strings.Compare(a.URI, b.URI) })
	return out
}
