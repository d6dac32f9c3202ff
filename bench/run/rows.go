package main

// row is a line of the table: one metric of one step.
type row struct {
	label  string
	unit   string
	of     metric
	mine   cell
	theirs string // the peers' step; empty: none has it
	roof   string // the roof's step; empty: none
	goal   goal
}

// goal is what a row is to reach; what is zero doesn't count.
type goal struct {
	restic, borg float64 // times less than the best of its settings
	peers        float64 // times less than the best of all peers
	roof         float64 // share of the roof, at least
	most         float64
}

func mine(step string) cell { return cell{ours, step} }

// rows returns the table's lines in their order.
func rows() []row {
	all := []row{
		{label: "first full (gen1)", unit: "s", of: wall, mine: mine(firstFull), theirs: firstFull, roof: firstFull, goal: goal{peers: 2.5, roof: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(firstFull), theirs: firstFull, roof: firstFull, goal: goal{restic: 3, borg: 1.5}},
		{unit: "MiB RSS", of: rss, mine: mine(firstFull), theirs: firstFull, goal: goal{most: 256}},
		{label: "busy day (gen2)", unit: "s", of: wall, mine: mine(busyDay), theirs: busyDay, goal: goal{peers: 5}},
		{unit: "CPU s", of: cpu, mine: mine(busyDay), theirs: busyDay, goal: goal{peers: 3}},
		{unit: "MiB RSS", of: rss, mine: mine(busyDay), theirs: busyDay, goal: goal{most: 256}},
		{label: "busy day, change map", unit: "s", of: wall, mine: cell{oursMap, busyDayMap}, theirs: busyDay, goal: goal{peers: 12}},
		{unit: "CPU s", of: cpu, mine: cell{oursMap, busyDayMap}, theirs: busyDay, goal: goal{most: 1.5}},
		{unit: "MiB read", of: read, mine: cell{oursMap, busyDayMap}},
		{label: "unchanged (gen2)", unit: "s", of: wall, mine: mine(unchanged), theirs: unchanged, roof: unchanged, goal: goal{peers: 2.5, roof: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(unchanged), theirs: unchanged, roof: unchanged},
		{label: "quiet day (gen3)", unit: "s", of: wall, mine: mine(quietDay), theirs: quietDay},
		{unit: "CPU s", of: cpu, mine: mine(quietDay), theirs: quietDay},
		{label: "sibling (sib)", unit: "CPU s", of: cpu, mine: mine(sibling), theirs: sibling},
		{label: "clone", unit: "CPU s", of: cpu, mine: mine(clone), theirs: clone},
		{label: "restore of gen1", unit: "s", of: wall, mine: mine(restoreGen1), theirs: restoreGen1, roof: restoreGen1, goal: goal{restic: 2.5, borg: 5, roof: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(restoreGen1), theirs: restoreGen1, roof: restoreGen1},
		{unit: "MiB RSS", of: rss, mine: mine(restoreGen1), theirs: restoreGen1, goal: goal{most: 256}},
		{label: "restore of gen2", unit: "s", of: wall, mine: mine(restoreGen2), theirs: restoreGen2, goal: goal{restic: 2.5, borg: 5}},
		{unit: "CPU s", of: cpu, mine: mine(restoreGen2), theirs: restoreGen2},
		{label: "delete gen1", unit: "s", of: wall, mine: mine(remove), theirs: remove, goal: goal{most: 0.2}},
		{label: "collect after it", unit: "s", of: wall, mine: mine(collect), theirs: collect, goal: goal{most: 3}},
	}
	return append(all, sizeRows()...)
}

// sizeRows are those of what the stores grow by, all metadata included.
func sizeRows() []row {
	label := map[string]string{
		firstFull: "added by gen1", busyDay: "added by gen2", sibling: "added by sib", clone: "added by clone", quietDay: "added by gen3",
	}
	var all []row
	for _, step := range []string{firstFull, busyDay, sibling, clone, quietDay} {
		auto := row{label: label[step], unit: "MiB", of: added, mine: mine(step), theirs: step}
		switch step {
		case busyDay:
			auto.goal.most = 95
		case quietDay:
			auto.goal.most = 37
		}
		all = append(all, auto)
		balanced := auto
		balanced.label, balanced.mine = "  balanced", cell{oursBalanced, step}
		all = append(all, balanced)
		if step == sibling {
			maintained := row{label: "  auto, after maintain", unit: "MiB", of: added, mine: cell{oursMaintained, maintainSib}, theirs: sibling, goal: goal{most: 690}}
			all = append(all, maintained)
		}
	}
	return append(all,
		row{label: "gen1, gen2, sib, clone", unit: "MiB", of: total, mine: mine(clone), theirs: clone},
		row{label: "  balanced", unit: "MiB", of: total, mine: cell{oursBalanced, clone}, theirs: clone},
		row{label: "  auto, after maintain", unit: "MiB", of: total, mine: cell{oursMaintained, maintain}, theirs: clone, goal: goal{most: 3230}},
		row{label: "maintain, first time", unit: "CPU s", of: cpu, mine: cell{oursMaintained, maintainGens}},
		row{label: "store after collect", unit: "MiB", of: total, mine: mine(collect), theirs: collect},
	)
}
