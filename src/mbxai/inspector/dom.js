// Elements. Text of models and tools only ever becomes text, never markup.

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  set(made, attributes);
  made.append(...children);
  return made;
}

function svg(name, attributes = {}) {
  return set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
}

function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) target.setAttribute(name, value);
  return target;
}

// Children by key: what stays keeps its element, and with it focus, scroll and open details.
function keyed(parent, items, keyOf, make, update) {
  const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  items.forEach((item, at) => {
    const key = String(keyOf(item));
    const child = known.get(key) ?? make(item);
    known.delete(key);
    child.dataset.key = key;
    update(child, item);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const child of known.values()) child.remove();
}

function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function announce(text) {
  write($("announcer"), text);
}

function complain(place, text) {
  place.hidden = !text;
  write(place, text);
}
