// Parse JavaScript with acorn and walk its ESTree, one JSON request and one JSON reply a line.
// It lives as long as its standard input: when the parent dies, the pipe closes and it ends.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { RULES } from "./rules.mjs";

const require = createRequire(process.argv[2] + "/");
const acorn = require("acorn");
const SETS = ["nodes", "identifiers", "names", "members", "skipped"];

function isNode(value) {
  return value !== null && typeof value === "object" && typeof value.type === "string";
}

// The children in the order of their keys, each with the key that it stands under.
function children(node, skipped) {
  const found = [];
  for (const key of Object.keys(node)) {
    if (key === "loc" || skipped.has(key)) continue;
    const value = node[key];
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) found.push([item, key]);
    } else if (isNode(value)) found.push([value, key]);
  }
  return found;
}

// Depth first without recursion: the order in which the original reports its first reason.
function visit(code, policy) {
  const reasons = [];
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
  const rules = policy.rules.map((name) => RULES[name]({ code, tree, policy }));
  let nodes = 0;
  const open = [{ node: tree, key: "", parent: null, depth: 1 }];
  while (open.length) {
    const place = open.pop();
    const { node, depth } = place;
    nodes += 1;
    const say = (kind, detail) => reasons.push([kind, detail, node.loc.start.line, node.loc.start.column]);
    if (nodes > policy.max_nodes || depth > policy.max_depth) {
      say("limit", nodes > policy.max_nodes ? `more than ${policy.max_nodes} nodes` : `nested more than ${policy.max_depth} deep`);
      break;
    }
    if (!policy.nodes.has(node.type)) say("node", node.type);
    if (node.type === "Identifier" && policy.identifiers.has(node.name)) say("global", node.name);
    const callee = node.type === "CallExpression" ? node.callee : null;
    if (callee && callee.type === "Identifier" && policy.identifiers.has(callee.name)) {
      say("global_call", callee.name);
    }
    for (const rule of rules) rule(place, say);
    const below = children(node, policy.skipped);
    for (let i = below.length - 1; i >= 0; i -= 1) {
      open.push({ node: below[i][0], key: below[i][1], parent: place, depth: depth + 1 });
    }
  }
  return { reasons, nodes };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { codes, policy } = JSON.parse(line);
  for (const name of SETS) policy[name] = new Set(policy[name]);
  process.stdout.write(JSON.stringify(codes.map((code) => visit(code, policy))) + "\n");
}
