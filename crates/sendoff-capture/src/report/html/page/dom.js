// Makes elements. Data gets on the page as text only: nothing here takes markup.

/** An element with attributes and children; strings become text. */
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of SVG. */
function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== ""));
  return made;
}

/** Element of the page with that id. */
const byId = (id) => document.getElementById(id);

/** A chip that says a remark: its sign for the eye, its word for all. */
function chip({ sign, word, kind }) {
  return element("span", { class: `chip ${kind}` }, element("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}

/** A row of a table: first its heading, then its cells. */
function row(heading, ...cells) {
  return element("tr", {}, element("th", { scope: "row" }, heading), ...cells.map((cell) => element("td", {}, cell)));
}
