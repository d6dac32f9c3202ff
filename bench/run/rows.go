package main

import "slices"

// row is a line of the table: one metric of one step.
type row struct {
	label  string
	unit   string
	of     metric
	mine   cell
	theirs string // the peers' step; empty: none has it
	base   cell   // what a share is shown of: the roof mostly
	goal   goal
}

// goal is what a row is to reach; what is zero doesn't count.
type goal struct {
	restic, borg float64 // times less than the best of its settings
	peers        float64 // times less than the best of all peers
	share        float64 // of the base, at least
	most         float64
}

func mine(step string) cell { return cell{ours, step} }

func roofOf(step string) cell { return cell{theRoof, step} }

// rows returns the table's lines in their order.
func rows() []row {
	all := []row{
		{label: "first full (gen1)", unit: "s", of: wall, mine: mine(firstFull), theirs: firstFull, base: roofOf(firstFull), goal: goal{peers: 2.5, share: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(firstFull), theirs: firstFull, base: roofOf(firstFull), goal: goal{restic: 3, borg: 1.5}},
		{unit: "MiB RSS", of: rss, mine: mine(firstFull), theirs: firstFull, goal: goal{most: 256}},
		{label: "busy day (gen2)", unit: "s", of: wall, mine: mine(busyDay), theirs: busyDay, goal: goal{peers: 5}},
		{unit: "CPU s", of: cpu, mine: mine(busyDay), theirs: busyDay, goal: goal{peers: 3}},
		{unit: "MiB RSS", of: rss, mine: mine(busyDay), theirs: busyDay, goal: goal{most: 256}},
		{label: "busy day, change map", unit: "s", of: wall, mine: cell{oursMap, busyDayMap}, theirs: busyDay, goal: goal{peers: 12}},
		{unit: "CPU s", of: cpu, mine: cell{oursMap, busyDayMap}, theirs: busyDay, goal: goal{most: 1.5}},
		{unit: "MiB read", of: read, mine: cell{oursMap, busyDayMap}},
		{label: "unchanged (gen2)", unit: "s", of: wall, mine: mine(unchanged), theirs: unchanged, base: roofOf(unchanged), goal: goal{peers: 2.5, share: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(unchanged), theirs: unchanged, base: roofOf(unchanged)},
		{label: "quiet day (gen3)", unit: "s", of: wall, mine: mine(quietDay), theirs: quietDay},
		{unit: "CPU s", of: cpu, mine: mine(quietDay), theirs: quietDay},
		{label: "sibling (sib)", unit: "CPU s", of: cpu, mine: mine(sibling), theirs: sibling},
		{label: "clone", unit: "CPU s", of: cpu, mine: mine(clone), theirs: clone},
		{label: "restore of gen1", unit: "s", of: wall, mine: mine(restoreGen1), theirs: restoreGen1, base: roofOf(restoreGen1), goal: goal{restic: 2.5, borg: 5, share: 0.8}},
		{unit: "CPU s", of: cpu, mine: mine(restoreGen1), theirs: restoreGen1, base: roofOf(restoreGen1)},
		{unit: "MiB RSS", of: rss, mine: mine(restoreGen1), theirs: restoreGen1, goal: goal{most: 256}},
		{label: "restore of gen2", unit: "s", of: wall, mine: mine(restoreGen2), theirs: restoreGen2, goal: goal{restic: 2.5, borg: 5}},
		{unit: "CPU s", of: cpu, mine: mine(restoreGen2), theirs: restoreGen2},
		{label: "delete gen1", unit: "s", of: wall, mine: mine(remove), theirs: remove, goal: goal{most: 0.2}},
		{label: "collect after it", unit: "s", of: wall, mine: mine(collect), theirs: collect, goal: goal{most: 3}},
	}
	return slices.Concat(all, sizeRows(), s3Rows(), growthRows())
}

// s3Rows compare a vault in a bucket with a local one.
func s3Rows() []row {
	var all []row
	for _, c := range []string{oursS3, oursFarS3} {
		label := "S3 on loopback"
		if c == oursFarS3 {
			label = "S3, 20 ms more"
		}
		for _, step := range []string{firstFull, busyDay, restoreGen1, restoreGen2} {
			all = append(all, row{label: label + ": " + step, unit: "s", of: wall, mine: cell{c, step}, base: mine(step), goal: goal{share: 0.8}})
		}
	}
	return append(all,
		row{label: "S3: restore gen1", unit: "GETs", of: gets, mine: cell{oursFarS3, restoreGen1}, goal: goal{most: 300}},
		row{unit: "x stored", of: amplified, mine: cell{oursFarS3, restoreGen1}, goal: goal{most: 1.1}},
		row{label: "S3: restore gen2", unit: "GETs", of: gets, mine: cell{oursFarS3, restoreGen2}, goal: goal{most: 600}},
	)
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

// growthRows are those of sizes that a corpus has no room for.
func growthRows() []row {
	large, terabyte := cell{growth, tenTiBMap}, cell{growth, oneTiB}
	all := []row{
		{label: "10 TiB, empty", unit: "CPU s", of: cpu, mine: cell{growth, tenTiB}},
		{label: "  1 GiB changed, map", unit: "CPU s", of: cpu, mine: large},
		{unit: "MiB read", of: read, mine: large},
		{unit: "MiB added", of: added, mine: large},
		{unit: "MiB RSS", of: rss, mine: large, goal: goal{most: 256}},
		{label: "1 TiB with 20 GiB", unit: "s", of: wall, mine: terabyte, goal: goal{most: 60}},
		{unit: "MiB RSS", of: rss, mine: terabyte, goal: goal{most: 256}},
		{label: "hooks of 1 TiB", unit: "MiB held", of: rss, mine: cell{growth, hooks1}, goal: goal{most: 104.9}},
		{label: "hooks of 16 TiB", unit: "MiB held", of: rss, mine: cell{growth, hooks16}, goal: goal{most: 512}},
	}
	for _, what := range []string{"backup", "list", "delete"} {
		all = append(all, row{
			label: what + " among 10,000", unit: "s", of: wall, mine: cell{growth, what + manySuffix},
			base: cell{growth, what + fewSuffix}, goal: goal{share: 0.8},
		})
	}
	return all
}
