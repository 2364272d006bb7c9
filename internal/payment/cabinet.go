package payment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/kernel"
)

// Label is what a parcel's row says of it: its cabinet and its waybill, each empty if the row has none.
type Label struct{ DeviceSN, Waybill string }

// Labels returns the labels of the parcels of these orders, as the main database has them now. Orders without a parcel are
// left out.
func (p *Parcels) Labels(ctx context.Context, orderIDs []int64) (map[int64]Label, error) {
	if len(orderIDs) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, parcelTimeout)
	defer cancel()
	ids := make([]string, len(orderIDs))
	for i, id := range orderIDs {
		ids[i] = strconv.FormatInt(id, 10)
	}
	posts, err := kernel.PostOrders(ctx, p.DB, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kernel.PostOrderTable.Name, err)
	}
	found := make(map[int64]Label, len(posts))
	for i, id := range ids {
		if post, ok := posts[id]; ok {
			found[orderIDs[i]] = Label{strings.TrimSpace(post.DeviceSN.String), post.Waybill}
		}
	}
	return found, nil
}

// cabinet is one that a parcel is in.
type cabinet struct {
	kernel.Cabinet
	cached bool
}

// cabinets returns cabinets by the serials of parcels, from the cache if it has them.
func (p *Parcels) cabinets(ctx context.Context, posts map[string]kernel.PostOrder) (map[string]cabinet, error) {
	cabinets := make(map[string]cabinet, len(posts))
	var serials []string
	for _, post := range posts {
		if _, ok := cabinets[post.DeviceSN.String]; !ok && post.DeviceSN.Valid {
			cabinets[post.DeviceSN.String] = cabinet{}
			serials = append(serials, post.DeviceSN.String)
		}
	}
	clear(cabinets)
	if p.Cache != nil && len(serials) > 0 {
		for serial, c := range p.Cache.Cabinets(ctx, serials) {
			cabinets[serial] = cabinet{Cabinet: c, cached: true}
		}
	}
	var missing []string
	for _, serial := range serials {
		if _, ok := cabinets[serial]; !ok {
			missing = append(missing, serial)
		}
	}
	if len(missing) == 0 {
		return cabinets, nil
	}
	fresh, err := p.freshCabinets(ctx, missing)
	maps.Copy(cabinets, fresh)
	return cabinets, err
}

// freshCabinets reads cabinets by serials, and caches them.
func (p *Parcels) freshCabinets(ctx context.Context, serials []string) (map[string]cabinet, error) {
	read, err := kernel.Cabinets(ctx, p.DB, serials)
	if err != nil {
		return nil, err
	}
	fresh := make(map[string]cabinet, len(read))
	for serial, c := range read {
		fresh[serial] = cabinet{Cabinet: c}
	}
	maps.DeleteFunc(read, func(_ string, c kernel.Cabinet) bool { return c.Err != nil })
	if p.Cache != nil && len(read) > 0 {
		p.Cache.PutCabinets(ctx, read)
	}
	return fresh, nil
}

// askAgain reads without the cache the cabinets of parcels that have no cell: since they were cached, their boards may have
// been replaced, and their cells have other ids. It changes cabinets and cells.
func (p *Parcels) askAgain(ctx context.Context, posts map[string]kernel.PostOrder, cabinets map[string]cabinet, cells map[string]kernel.Cell) error {
	var serials []string
	asked := map[string]kernel.PostOrder{}
	for id, post := range posts {
		c, known := cabinets[post.DeviceSN.String]
		if _, found := cells[id]; found || !known || !c.cached {
			continue
		}
		asked[id] = post
		if !slices.Contains(serials, post.DeviceSN.String) {
			serials = append(serials, post.DeviceSN.String)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	fresh, err := p.freshCabinets(ctx, serials)
	if err != nil {
		return err
	}
	for id, post := range asked {
		if fresh[post.DeviceSN.String].MainDeviceID == cabinets[post.DeviceSN.String].MainDeviceID {
			delete(asked, id) // there is no cell
		}
	}
	for _, serial := range serials {
		delete(cabinets, serial) // one that is not read is not there any more
	}
	maps.Copy(cabinets, fresh)
	found, err := p.cells(ctx, asked, cabinets)
	maps.Copy(cells, found)
	return err
}

// cells returns the cells of parcels whose cabinets can be used.
func (p *Parcels) cells(ctx context.Context, posts map[string]kernel.PostOrder, cabinets map[string]cabinet) (map[string]kernel.Cell, error) {
	devices := make(map[string]int64, len(posts))
	for id, post := range posts {
		if c, ok := cabinets[post.DeviceSN.String]; ok && c.Err == nil {
			devices[id] = c.MainDeviceID
		}
	}
	return kernel.Cells(ctx, p.DB, devices)
}
