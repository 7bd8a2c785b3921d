// The plan as a picture: tasks in columns by how many others must end before them.

const NODE = { width: 190, height: 54, right: 56, below: 16 };
const MARKS = { pending: "○", in_progress: "◐", completed: "✓", failed: "✕", skipped: "–" };

// Pure: where each task stands, and which lines join them.
function layout(tasks) {
  const known = new Map(tasks.map((task) => [task.id, task]));
  const depths = new Map();
  const depthOf = (task, path) => {
    if (depths.has(task.id)) return depths.get(task.id);
    if (path.has(task.id)) return 0; // a circle, which the agent's own plans do not have
    const before = task.dependencies.filter((id) => known.has(id));
    const further = new Set(path).add(task.id);
    const depth = Math.max(-1, ...before.map((id) => depthOf(known.get(id), further))) + 1;
    depths.set(task.id, depth);
    return depth;
  };
  const rows = [];
  const places = new Map();
  for (const task of tasks) {
    const column = depthOf(task, new Set());
    const row = (rows[column] = (rows[column] ?? -1) + 1);
    places.set(task.id, {
      x: column * (NODE.width + NODE.right) + 2, y: row * (NODE.height + NODE.below) + 2,
    });
  }
  const edges = tasks.flatMap((task) =>
    task.dependencies.filter((id) => known.has(id)).map((id) => ({
      id: `${id} ${task.id}`, from: places.get(id), to: places.get(task.id),
      status: known.get(id).status,
    })));
  const height = Math.max(0, ...Array.from(rows, (row) => row + 1)) * (NODE.height + NODE.below);
  return { places, edges, width: rows.length * (NODE.width + NODE.right), height: height + 4 };
}

function drawPlan(place, tasks) {
  if (tasks.length === 0) return place.replaceChildren();
  const { places, edges, width, height } = layout(tasks);
  const picture = place.firstElementChild ?? place.appendChild(newPicture());
  const done = tasks.filter((task) => task.status === "completed").length;
  set(picture, { width, height, viewBox: `0 0 ${width} ${height}` });
  picture.setAttribute("aria-label", `${countOf(tasks.length, "task")}, ${done} completed`);
  const [lines, nodes] = picture.children;
  keyed(lines, edges, (edge) => edge.id, () => svg("path", { class: "edge" }), drawEdge);
  keyed(nodes, tasks, (task) => task.id, newNode, (node, task) => {
    const { x, y } = places.get(task.id);
    node.style.transform = `translate(${x}px, ${y}px)`;
    drawNode(node, task);
  });
}

function newPicture() {
  const picture = svg("svg", { role: "img" });
  picture.append(svg("g"), svg("g"));
  return picture;
}

function drawEdge(path, { from, to, status }) {
  const x = from.x + NODE.width, y = from.y + NODE.height / 2, end = to.y + NODE.height / 2;
  const middle = (x + to.x) / 2;
  set(path, { d: `M ${x} ${y} C ${middle} ${y} ${middle} ${end} ${to.x} ${end}` });
  path.dataset.status = status;
}

function newNode() {
  const node = svg("g", { class: "node" });
  node.append(
    svg("rect", { width: NODE.width, height: NODE.height, rx: 8 }),
    svg("text", { x: 12, y: 23 }),
    svg("text", { x: 12, y: 42, class: "status" }),
    svg("title"),
  );
  return node;
}

function drawNode(node, task) {
  const [, title, status, whole] = node.children;
  node.dataset.status = task.status;
  title.textContent = task.title.length > 25 ? `${task.title.slice(0, 24)}…` : task.title;
  status.textContent = `${MARKS[task.status] ?? ""} ${words(task.status)}`;
  whole.textContent = task.title;
}
