// Parse JavaScript with acorn and walk its ESTree, one JSON request and one JSON reply a line.
// It lives as long as its standard input: when the parent dies, the pipe closes and it ends.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.argv[2] + "/");
const acorn = require("acorn");

function isNode(value) {
  return value !== null && typeof value === "object" && typeof value.type === "string";
}

// Depth first, children in the order of their keys, without recursion.
function visit(code, nodes, blocked, skipped) {
  const reasons = [];
  let count = 0;
  let tree;
  try {
    tree = acorn.parse(code, { ecmaVersion: "latest", sourceType: "module", locations: true });
  } catch (error) {
    if (error instanceof RangeError) {
      return { reasons: [["limit", "nested too deeply for the parser", 0, 0]], nodes: 0 };
    }
    const place = error.loc ?? { line: 0, column: 0 };
    return { reasons: [["parse_error", error.message, place.line, place.column]], nodes: 0 };
  }
  const open = [tree];
  while (open.length) {
    const node = open.pop();
    count += 1;
    const { line, column } = node.loc.start;
    if (!nodes.has(node.type)) reasons.push(["node", node.type, line, column]);
    if (node.type === "Identifier" && blocked.has(node.name)) {
      reasons.push(["global", node.name, line, column]);
    }
    const callee = node.type === "CallExpression" ? node.callee : null;
    if (callee && callee.type === "Identifier" && blocked.has(callee.name)) {
      reasons.push(["global_call", callee.name, line, column]);
    }
    const children = [];
    for (const key of Object.keys(node)) {
      if (key === "loc" || skipped.has(key)) continue;
      const value = node[key];
      if (Array.isArray(value)) children.push(...value.filter(isNode));
      else if (isNode(value)) children.push(value);
    }
    for (let i = children.length - 1; i >= 0; i -= 1) open.push(children[i]);
  }
  return { reasons, nodes: count };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const request = JSON.parse(line);
  const [nodes, blocked, skipped] = [request.nodes, request.blocked, request.skipped].map(
    (names) => new Set(names),
  );
  const reply = visit(request.code, nodes, blocked, skipped);
  process.stdout.write(JSON.stringify(reply) + "\n");
}
