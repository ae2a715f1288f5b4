package storage

import (
	"context"

	"rollcall/admin"
	"rollcall/enroll"
)

var _ admin.ViewStore = (*Store)(nil)

type deviceViewRow struct {
	OwnerID   string `json:"owner_id"`
	OwnerName string `json:"owner_name"`
	Name      string `json:"name"`
	Query     string `json:"query"`
	Shared    bool   `json:"shared"`
	UpdatedAt int64  `json:"updated_at"`
}

// Views implements admin.ViewStore.
func (s *Store) Views(ctx context.Context, ownerID string) ([]admin.SavedView, error) {
	var rows []deviceViewRow
	if err := s.all(ctx, &rows, `SELECT v.owner_id, COALESCE(a.name, t.name, '') AS owner_name, v.name, v.query, v.shared, v.updated_at FROM device_views v
		LEFT JOIN administrators a ON a.id = v.owner_id LEFT JOIN tokens t ON t.id = v.owner_id
		WHERE v.owner_id = ? OR v.shared ORDER BY v.name, v.owner_id LIMIT ?`, ownerID, pageLimit(enroll.Page{Limit: 1000})); err != nil {
		return nil, err
	}
	out := make([]admin.SavedView, len(rows))
	for i, r := range rows {
		out[i] = admin.SavedView{OwnerID: r.OwnerID, OwnerName: r.OwnerName, Name: r.Name, Query: r.Query, Shared: r.Shared, UpdatedAt: instant(r.UpdatedAt)}
	}
	return out, nil
}

// PutView implements admin.ViewStore.
func (s *Store) PutView(ctx context.Context, v admin.SavedView, most int) (created bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		tx.record(ctx, "view", v.Name, nil, map[string]any{"query": v.Query, "shared": v.Shared})
		n, err := tx.exec(ctx, `UPDATE device_views SET query = ?, shared = ?, updated_at = ? WHERE owner_id = ? AND name = ?`, v.Query, v.Shared, micros(v.UpdatedAt), v.OwnerID, v.Name)
		if err != nil || n > 0 {
			created = false
			return err
		}
		created = true
		var there int
		if err := tx.get(ctx, &there, `SELECT COUNT(*) FROM device_views WHERE owner_id = ?`, v.OwnerID); err != nil {
			return err
		}
		if there >= most {
			return enroll.Errorf(enroll.KindConflict, "views_too_many", "there are %d saved views already", there).WithHint("Delete one first.")
		}
		_, err = tx.exec(ctx, `INSERT INTO device_views (id, owner_id, name, query, shared, updated_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (owner_id, name) DO UPDATE SET query = excluded.query, shared = excluded.shared, updated_at = excluded.updated_at`,
			enroll.NewID(), v.OwnerID, v.Name, v.Query, v.Shared, micros(v.UpdatedAt))
		return err
	})
	return created && err == nil, err
}

// DeleteView implements admin.ViewStore.
func (s *Store) DeleteView(ctx context.Context, ownerID, name string) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `DELETE FROM device_views WHERE owner_id = ? AND name = ?`, ownerID, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return enroll.Errorf(enroll.KindNotFound, "view_unknown", "there is no such saved view")
		}
		tx.record(ctx, "view", name, nil, nil)
		return nil
	})
}
