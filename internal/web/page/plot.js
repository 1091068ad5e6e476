// The plot of the bound over the last hour, with lines for the objectives, and with
// marks for states and events.

const spans = [["5 min", 300], ["15 min", 900], ["1 hour", 3600]];
const mostRows = 720; // in one request: about one for each pixel of a phone
const leastSpan = 60; // seconds

export class Plot {
	#root; #chart; #tip; #caption; #legend; #readout; #now; #buttons; // elements
	#uplot;
	#span = 3600; // length of the plot in seconds, up to now
	#zoom = null; // start and end, or null
	#page = {}; // the tracker's last answer
	#objectives = [];
	#rows = []; // {time, state, bound, without}, the oldest first
	#last; // the latest row's time, as the tracker wrote it
	#key; // what the rows were requested for
	#turn = 0; // counts the requests
	#shown = []; // the rows in the plot
	#events = [];

	constructor(root) {
		this.#root = root;
		this.#build();
		new ResizeObserver(() => this.#uplot?.setSize(this.#size())).observe(this.#chart);
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#uplot?.redraw(false));
	}

	// update reads the page's data and fetches the new rows.
	async update(page, objectives) {
		this.#page = { ...page };
		this.#objectives = objectives;
		if (!page.since || !globalThis.uPlot) return; // there is no watch, or no library
		this.#root.hidden = false;
		await this.#refresh();
	}

	#build() {
		this.#buttons = spans.map(([label, span]) => element("button", { type: "button", textContent: label, onclick: () => this.#choose(span, null) }));
		this.#now = element("button", { type: "button", textContent: "Back to now", hidden: true, onclick: () => this.#choose(this.#span, null) });
		this.#chart = element("div", { className: "chart", tabIndex: 0, onkeydown: (e) => this.#press(e) });
		this.#chart.setAttribute("role", "group");
		this.#chart.setAttribute("aria-label", "Plot of the bound. Left and right arrows read it, plus and minus zoom, Escape goes back.");
		this.#tip = element("div", { className: "tip", hidden: true, ariaHidden: "true" });
		this.#legend = element("ul", { className: "legend" });
		this.#caption = element("p", { className: "note caption" });
		this.#readout = element("p", { className: "unseen" });
		this.#readout.setAttribute("role", "status");
		const tools = element("div", { className: "tools" });
		tools.append(...this.#buttons, this.#now);
		this.#root.append(tools, this.#chart, this.#legend, this.#caption, this.#readout);
	}

	#size() {
		const { width, height } = this.#chart.getBoundingClientRect();
		return { width: Math.floor(width), height: Math.floor(height) };
	}

	#choose(span, zoom) {
		this.#span = span;
		this.#zoom = zoom;
		this.#refresh();
	}

	async #refresh() {
		try {
			if (await this.#fetch()) this.#show();
		} catch (error) {
			this.#caption.textContent = `The plot is not up to date: ${error.message}.`;
		}
	}

	// #range returns start and end of the plot, in seconds since 1970, by the clock that
	// is judged.
	#range() {
		if (this.#zoom) return this.#zoom;
		const now = Date.parse(this.#page.time) / 1000;
		const since = Date.parse(this.#page.since) / 1000;
		return [Math.min(Math.max(now - this.#span, since), now - leastSpan), now];
	}

	// #fetch requests the missing rows, and reports whether they still matter when they
	// arrive. After an event it requests all rows, because after a step of the clock the
	// old rows do not fit the new ones.
	async #fetch() {
		const { since, interval, events } = this.#page;
		const [from, to] = this.#range();
		const step = Math.ceil((to - from) / mostRows);
		const raw = step <= Number(interval);
		const key = JSON.stringify([since, events, raw || step, this.#zoom, this.#span]);
		const more = key === this.#key && this.#rows.length > 0;
		const query = new URLSearchParams({ start: more ? this.#last : Math.floor(from / step) * step, end: to + step });
		query.set("step", raw ? 0 : step);
		const turn = ++this.#turn;
		const [history, log] = await Promise.all([get(`api/v1/history?${query}`), more ? null : get("api/v1/events")]);
		if (turn !== this.#turn) return false;
		const rows = rowsOf(history);
		const kept = more ? this.#rows.filter(({ time }) => time >= from - step && time < (rows[0]?.time ?? Infinity)) : [];
		this.#rows = [...kept, ...rows].sort((a, b) => a.time - b.time);
		this.#last = history.time.at(-1) ?? this.#last;
		this.#key = key;
		if (log) this.#events = log.events.map((e) => ({ ...e, at: Date.parse(e.time) / 1000 }));
		return true;
	}

	#show() {
		const rows = filled(this.#rows);
		const data = [rows.map((r) => r.time), rows.map((r) => r.bound)];
		this.#shown = rows;
		if (this.#uplot) this.#uplot.setData(data);
		else this.#uplot = this.#draw(data);
		this.#describe();
		for (const [i, button] of this.#buttons.entries()) button.ariaPressed = String(!this.#zoom && spans[i][1] === this.#span);
		this.#now.hidden = !this.#zoom;
	}

	#draw(data) {
		const font = "12px system-ui, sans-serif";
		const line = { stroke: () => color("line"), width: 1 };
		const decades = { ...line, filter: (_, values) => values.map((v) => (isDecade(v) ? v : null)) };
		const axis = { stroke: () => color("soft"), font, grid: line, ticks: line };
		const plot = new uPlot({
			...this.#size(),
			padding: [14, 28, 0, 0],
			legend: { show: false },
			tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
			cursor: { y: false, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => this.#choose(this.#span, null) } },
			scales: { x: { range: () => this.#range() }, y: { distr: 3, range: (_, min, max) => this.#decades(min, max) } },
			axes: [
				{ ...axis, space: 70, size: 36, values: (_, times, __, ___, step) => times.map((t) => clock(t).slice(0, step < 60 ? 8 : 5)) },
				{ ...axis, size: 64, grid: decades, ticks: decades, values: (_, values) => values.map((v) => (v == null ? "" : seconds(v))) },
			],
			series: [{}, {
				stroke: () => color("plot"), width: 1.5, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false },
				fill: () => color("plot") + "22",
			}],
			hooks: {
				drawClear: [(u) => this.#drawStates(u)],
				draw: [(u) => this.#drawObjectives(u), (u) => this.#drawEvents(u)],
				setCursor: [(u) => this.#point(u)],
				setSelect: [(u) => this.#select(u)],
			},
		}, data, this.#chart);
		plot.over.append(this.#tip);
		return plot;
	}

	// #decades returns a range of whole decades for the bounds and the objectives.
	#decades(min, max) {
		const limits = this.#objectives.map((o) => o.limit);
		const least = Math.min(min ?? Infinity, ...limits), most = Math.max(max ?? -Infinity, ...limits);
		if (!(least <= most)) return [1e-6, 1];
		const low = Math.floor(Math.log10(Math.max(least, 1e-10)) + 1e-9), high = Math.ceil(Math.log10(Math.max(most, 1e-9)) - 1e-9);
		return [10 ** low, 10 ** Math.max(high, low + 1)];
	}

	// #drawStates draws a strip of the states below the plot, and shades the times in
	// which the clock was not synchronized, because a gap must not look healthy.
	#drawStates(u) {
		const { ctx } = u, { left, top, width, height } = u.bbox;
		const strip = 6 * devicePixelRatio;
		const rows = this.#shown;
		ctx.save();
		ctx.beginPath();
		ctx.rect(left, top, width, height);
		ctx.clip();
		for (let i = 0; i < rows.length;) {
			const { state, time } = rows[i];
			while (i < rows.length && rows[i].state === state) i++;
			const x = u.valToPos(time, "x", true);
			const end = i < rows.length ? u.valToPos(rows[i].time, "x", true) : left + width;
			const w = Math.max(end - x, devicePixelRatio);
			ctx.fillStyle = color(state);
			ctx.fillRect(x, top + height - strip, w, strip);
			if (state === "synchronized") continue;
			ctx.globalAlpha = 0.18;
			ctx.fillRect(x, top, w, height);
			ctx.globalAlpha = 1;
			label(ctx, state, "left", x + 4 * devicePixelRatio, top + height - 2 * strip, w - 8 * devicePixelRatio, "text");
		}
		ctx.restore();
	}

	#drawObjectives(u) {
		const { ctx } = u, { left, width } = u.bbox;
		ctx.save();
		ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
		ctx.lineWidth = devicePixelRatio;
		ctx.strokeStyle = color("unknown");
		const limits = Object.entries(Object.groupBy(this.#objectives, (o) => o.limit))
			.map(([limit, all]) => ({ y: Math.round(u.valToPos(Number(limit), "y", true)), text: `${all.map((o) => o.name).join(", ")} ${seconds(Number(limit))}` }))
			.sort((a, b) => b.y - a.y);
		for (const { y } of limits) {
			ctx.beginPath();
			ctx.moveTo(left, y);
			ctx.lineTo(left + width, y);
			ctx.stroke();
		}
		let last = Infinity; // position of the last label
		for (const { y, text } of limits) {
			if (last - y < 14 * devicePixelRatio) continue;
			last = y;
			label(ctx, text, "right", left + width - 4 * devicePixelRatio, y - 4 * devicePixelRatio, width / 2, "unknown");
		}
		ctx.restore();
	}

	#drawEvents(u) {
		const { ctx } = u, { left, top, width, height } = u.bbox;
		const size = 5 * devicePixelRatio;
		ctx.save();
		ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
		ctx.lineWidth = devicePixelRatio;
		ctx.strokeStyle = ctx.fillStyle = color("text");
		for (const { at } of this.#events) {
			const x = Math.round(u.valToPos(at, "x", true));
			if (x < left || x > left + width) continue;
			ctx.beginPath();
			ctx.moveTo(x, top);
			ctx.lineTo(x, top + height);
			ctx.stroke();
			ctx.beginPath();
			ctx.moveTo(x - size, top - 2 * size);
			ctx.lineTo(x + size, top - 2 * size);
			ctx.lineTo(x, top - size / 2);
			ctx.fill();
		}
		ctx.restore();
	}

	// #point shows the values under the cursor.
	#point(u) {
		const { left, idx } = u.cursor;
		const lines = left >= 0 && idx != null ? this.#read(u, idx, left) : [];
		this.#tip.hidden = lines.length === 0;
		this.#tip.replaceChildren(...lines.map((text, i) => element(i ? "div" : "b", { textContent: text })));
		const right = left > u.over.clientWidth / 2;
		this.#tip.style.left = right ? "" : `${left + 12}px`;
		this.#tip.style.right = right ? `${u.over.clientWidth - left + 12}px` : "";
		this.#tip.style.top = "12px";
	}

	// #read returns a row and the events near it as lines of text.
	#read(u, index, left) {
		const row = this.#shown[index];
		if (!row) return [];
		const lines = [row.bound == null ? "no bound" : `at most ${seconds(row.bound)}`, `${clock(row.time)} UTC · ${row.state}`];
		if (row.bound != null && row.without > 0) lines.push(`without a bound for ${seconds(row.without)}`);
		const near = this.#events.filter((e) => Math.abs(u.valToPos(e.at, "x") - left) < 6);
		return [...lines, ...near.slice(-5).map((e) => `${clock(e.at)} ${e.text}`)];
	}

	#select(u) {
		const { left, width } = u.select;
		if (width < 4) return;
		u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
		this.#choose(this.#span, [u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
	}

	#press(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === "Escape") return void this.#choose(this.#span, null);
		const u = this.#uplot, last = this.#shown.length - 1;
		if (!u || last < 0) return;
		const at = u.cursor.left >= 0 ? (u.cursor.idx ?? last) : last;
		const far = event.shiftKey ? 10 : 1;
		const moves = { ArrowLeft: at - far, ArrowRight: at + far, Home: 0, End: last };
		const zooms = { "+": 0.5, "=": 0.5, "-": 2 };
		if (event.key in moves) this.#move(Math.min(Math.max(moves[event.key], 0), last));
		else if (event.key in zooms) this.#zoomAt(this.#shown[at].time, zooms[event.key]);
		else return;
		event.preventDefault();
	}

	#move(index) {
		const u = this.#uplot;
		const left = Math.max(0, u.valToPos(this.#shown[index].time, "x"));
		u.setCursor({ left, top: 0 });
		this.#readout.textContent = this.#read(u, index, left).join(", ");
	}

	#zoomAt(time, factor) {
		const [from, to] = this.#range();
		const span = (to - from) * factor;
		const start = time - ((time - from) / (to - from)) * span;
		if (span > 3600) this.#choose(this.#span, null);
		else if (span > 5) this.#choose(this.#span, [start, start + span]);
	}

	// #describe describes the plot in words, also for screen readers.
	#describe() {
		const [from, to] = this.#range();
		const rows = this.#rows.filter((r) => r.time >= from - 1 && r.time <= to);
		const bounds = rows.map((r) => r.bound).filter((b) => b != null);
		const without = rows.reduce((sum, r) => sum + r.without, 0);
		const events = this.#events.filter((e) => e.at >= from && e.at <= to).length;
		const text = [`From ${clock(from)} to ${clock(to)} UTC`];
		text.push(bounds.length ? `the bound was from ${seconds(Math.min(...bounds))} to ${seconds(Math.max(...bounds))}` : "there was no bound");
		// Less than a sampling interval is left over from rounding.
		if (bounds.length && without >= Number(this.#page.interval)) text.push(`there was none for ${seconds(without)}`);
		text.push(`${events || "no"} event${events === 1 ? "" : "s"}`);
		this.#caption.textContent = text.join("; ") + ". Drag to zoom.";
		// With the states that are drawn where no sample was taken.
		const drawn = this.#shown.filter((r, i) => r.time <= to && (this.#shown[i + 1]?.time ?? to) >= from);
		const states = [...new Set(drawn.map((r) => r.state))];
		this.#legend.replaceChildren(...states.map((state) => entry(state, state)), ...(events ? [entry("event", "event")] : []));
	}
}

function entry(kind, text) {
	const key = element("i", { className: kind });
	key.style.background = kind === "event" ? "" : `var(--${kind})`;
	const item = element("li", {});
	item.append(key, text);
	return item;
}

async function get(path) {
	const response = await fetch(path, { cache: "no-store" });
	if (!response.ok) throw new Error(`${path}: ${response.status}`);
	return response.json();
}

// rowsOf turns the columns into rows that begin at their time. A sample covers the
// time before it.
function rowsOf(history) {
	return history.time.map((time, i) => ({
		time: Date.parse(time) / 1000 - (history.step_seconds ? 0 : history.observed_seconds[i]),
		length: history.step_seconds ?? history.observed_seconds[i],
		state: history.state[i],
		bound: history.bound_seconds[i] == null ? null : Math.max(history.bound_seconds[i], 1e-10), // a logarithmic scale has no zero
		without: history.unbounded_seconds[i],
	}));
}

// filled adds a row for each unobserved time, and one at the end.
function filled(rows) {
	const all = [];
	for (const [i, row] of rows.entries()) {
		all.push(row);
		const end = row.time + row.length, next = rows[i + 1]?.time ?? Infinity;
		if (next - end > row.length / 2) all.push({ ...row, time: end, bound: next === Infinity ? row.bound : null, state: next === Infinity ? row.state : "unobserved", without: 0 });
	}
	return all;
}

// seconds writes a time with three digits, rounded up as the tracker does.
function seconds(v) {
	if (v === 0) return "0 s";
	const scale = 10 ** (2 - Math.floor(Math.log10(v)));
	const rounded = Math.ceil(v * scale - 1e-6) / scale;
	const [unit, size] = [["s", 1], ["ms", 1e-3], ["µs", 1e-6]].find(([, size]) => rounded >= size * (1 - 1e-9)) ?? ["ns", 1e-9];
	return `${Number((rounded / size).toPrecision(3))} ${unit}`;
}

function isDecade(v) {
	return Math.abs(Math.log10(v) % 1) < 1e-9;
}

function clock(at) {
	return new Date(at * 1000).toISOString().slice(11, 19);
}

function color(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// label draws a text on a background, if there is room.
function label(ctx, text, align, x, y, room, name) {
	ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
	if (ctx.measureText(text).width > room) return;
	ctx.save();
	ctx.setLineDash([]);
	ctx.textAlign = align;
	ctx.textBaseline = "alphabetic";
	ctx.lineJoin = "round";
	ctx.lineWidth = 4 * devicePixelRatio;
	ctx.strokeStyle = color("paper");
	ctx.strokeText(text, x, y);
	ctx.fillStyle = color(name);
	ctx.fillText(text, x, y);
	ctx.restore();
}

function element(name, properties) {
	return Object.assign(document.createElement(name), properties);
}
