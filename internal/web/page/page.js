// Keeps the page up to date, and marks it as old if that fails.
//
// All text comes from the tracker. This script fetches the page again and replaces
// only the nodes that changed.
import { Plot } from "./plot.js";

const pause = 2500; // ms, between two requests
const patience = 10_000; // ms, after which the page counts as old
const timeout = 30_000; // ms; if chronyd hangs, the tracker answers late

const page = document.getElementById("page");
const lost = document.getElementById("lost");
const announcement = document.getElementById("announcement");
const plot = new Plot(document.getElementById("plot"));

let heard = now(); // time of the tracker's last answer
let asked = -Infinity;
let asking = false;

// One of these clocks stops while the machine sleeps, and the other can be set.
function now() {
	return { wall: Date.now(), steady: performance.now() };
}

function silence() {
	const { wall, steady } = now();
	return Math.max(wall - heard.wall, steady - heard.steady);
}

async function look() {
	asking = true;
	try {
		const fresh = await fetchPage();
		heard = now();
		show(fresh);
	} catch (error) {
		lose(error.name === "TypeError" || error.name === "TimeoutError" ? "the tracker does not answer" : error.message);
	}
	asking = false;
	asked = performance.now();
}

async function fetchPage() {
	const response = await fetch("./", { cache: "no-store", signal: AbortSignal.timeout(timeout) });
	if (!response.ok) throw new Error(`the tracker's address answers with ${response.status}`);
	const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
	const time = fresh.getElementById("page")?.dataset.time;
	if (!time) throw new Error("something else answers at the tracker's address");
	if (time === page.dataset.time) throw new Error("something repeats an old answer");
	return fresh;
}

function show(fresh) {
	const { state, tone } = page.dataset;
	const back = document.body.classList.contains("lost");
	document.body.classList.remove("lost");
	document.body.classList.add("live");
	lost.hidden = true;
	document.title = fresh.title;
	const like = fresh.getElementById("page");
	// Another version has other scripts, and other flags make other sections.
	if (like.dataset.version !== page.dataset.version || like.childElementCount !== page.childElementCount) return location.reload();
	morph(page, like);
	// The bound changes all the time, so screen readers only announce the state.
	if (back || state !== page.dataset.state || tone !== page.dataset.tone) {
		announcement.textContent = document.getElementById("verdict").textContent;
	}
	plot.update(page.dataset, objectives());
}

function lose(cause) {
	const text = `No news since ${clock(page.dataset.time)}: ${cause}. What stands below was true then.`;
	if (!lost.hidden && lost.dataset.text === text) return;
	lost.dataset.text = text;
	lost.replaceChildren(text, Object.assign(document.createElement("span"), { ariaHidden: "true" }));
	lost.hidden = false;
	document.body.classList.add("lost");
	document.title = "No news · Chrony Tracker";
}

function tick() {
	if (!asking && performance.now() - asked > pause) look();
	if (lost.hidden && silence() > patience) lose("the tracker does not answer");
	if (!lost.hidden) lost.lastChild.textContent = ` (${Math.round(silence() / 1000)} s ago)`;
}

function clock(time) {
	return `${time.slice(0, 10)} ${time.slice(11, 19)} UTC`;
}

function objectives() {
	return [...document.querySelectorAll("#objectives [data-limit]")].map(({ dataset }) => ({ name: dataset.name, limit: Number(dataset.limit) }));
}

// morph makes a node equal to another one and changes only what differs. So focus,
// selection and screen readers keep their place.
function morph(node, like) {
	if (node.id === "plot" || node.nodeName === "NOSCRIPT") return;
	if (node.nodeName !== like.nodeName || node.childNodes.length !== like.childNodes.length) {
		node.replaceWith(document.importNode(like, true));
		return;
	}
	if (node.nodeType === Node.TEXT_NODE) {
		if (node.data !== like.data) node.data = like.data;
		return;
	}
	for (const { name, value } of like.attributes) {
		if (node.getAttribute(name) !== value) node.setAttribute(name, value);
	}
	[...node.childNodes].forEach((child, i) => morph(child, like.childNodes[i]));
}

tick();
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
addEventListener("pageshow", tick);
