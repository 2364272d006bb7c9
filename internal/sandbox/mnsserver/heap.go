package mnsserver

import "container/heap"

// messageHeap orders messages and stores the index of each, so that any of them can be removed in logarithmic time.
type messageHeap struct {
	items []*message
	less  func(a, b *message) bool
}

func (h *messageHeap) Len() int           { return len(h.items) }
func (h *messageHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }

func (h *messageHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].place, h.items[j].place = i, j
}

// Push and Pop are for container/heap; use add and remove.
func (h *messageHeap) Push(x any) {
	m := x.(*message)
	m.place = len(h.items)
	h.items = append(h.items, m)
}

func (h *messageHeap) Pop() any {
	last := len(h.items) - 1
	m := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	return m
}

func (h *messageHeap) add(m *message)    { heap.Push(h, m) }
func (h *messageHeap) remove(m *message) { heap.Remove(h, m.place) }

// byOrder is the order of delivery: by priority, then by enqueueing. The service does not guarantee it.
func byOrder(a, b *message) bool {
	if a.priority != b.priority {
		return a.priority < b.priority
	}
	return a.seq < b.seq
}

// byVisibility is the order in which messages become Active.
func byVisibility(a, b *message) bool {
	if a.visibleAt != b.visibleAt {
		return a.visibleAt < b.visibleAt
	}
	return a.seq < b.seq
}
