// Parse JavaScript with acorn and walk its ESTree, one JSON request and one JSON reply a line.
// It lives as long as its standard input: when the parent dies, the pipe closes and it ends.
import { createRequire } from "node:module";
import { UP } from "./names.mjs";
import { checks } from "./rules.mjs";
import { exactShape, shape } from "./shape.mjs";

const require = createRequire(process.argv[2] + "/");
const acorn = require("acorn");
const SETS = ["nodes", "identifiers", "names", "members", "skipped"];
const OPTIONS = { ecmaVersion: "latest", sourceType: "module" };
const UNKNOWN = { allowed: false, keys: null, run: null };
const TOO_DEEP = ["limit", "nested too deeply for the parser", 0, 0];

// The fields with children of the common types, in acorn's order; others are looked through.
const KEYS = Object.fromEntries(
  `Program body; Identifier; Literal; TemplateElement; BreakStatement label; EmptyStatement;
  FunctionDeclaration id params body; FunctionExpression id params body; Property key value;
  ArrowFunctionExpression id params body; VariableDeclaration declarations; SpreadElement argument;
  VariableDeclarator id init; ExpressionStatement expression; ReturnStatement argument;
  IfStatement test consequent alternate; ForStatement init test update body; ArrayPattern elements;
  ForInStatement left right body; ForOfStatement left right body; WhileStatement test body;
  BlockStatement body; ArrayExpression elements; ObjectExpression properties; RestElement argument;
  BinaryExpression left right; LogicalExpression left right; AssignmentExpression left right;
  AssignmentPattern left right; UnaryExpression argument; UpdateExpression argument;
  CallExpression callee arguments; MemberExpression object property; ContinueStatement label;
  TemplateLiteral expressions quasis; ConditionalExpression test consequent alternate;
  SequenceExpression expressions; ChainExpression expression; ObjectPattern properties`
    .split(";")
    .map((line) => line.trim().split(" "))
    .map(([type, ...keys]) => [type, keys]),
);

// What a request's policy says of each type: allowed or not, which fields to visit (null: look),
// which checks to run. One look-up a node is what makes the walk quick.
function prepare(policy) {
  for (const name of SETS) policy[name] = new Set(policy[name]);
  const run = checks(policy);
  policy.linked = run.size > 0;
  policy.types = new Map();
  for (const type of new Set([...Object.keys(KEYS), ...policy.nodes, ...run.keys()])) {
    const keys = KEYS[type]?.filter((key) => !policy.skipped.has(key)) ?? null;
    policy.types.set(type, { allowed: policy.nodes.has(type), keys, run: run.get(type) ?? null });
  }
  return policy;
}

function visit(code, policy) {
  let tree;
  try {
    tree = acorn.parse(code, OPTIONS);
  } catch (error) {
    if (error instanceof RangeError) return { reasons: [TOO_DEEP], nodes: 0 };
    const place = error.loc ?? { line: 0, column: 0 };
    return { reasons: [["parse_error", error.message, place.line, place.column]], nodes: 0 };
  }
  const context = { code, tree, policy, reasons: [], say: null, facts: null };
  // Lines and columns are worked out for what is refused only: most programs need none.
  context.say = (kind, detail, node) => {
    const place = acorn.getLineInfo(code, node.start);
    context.reasons.push([kind, detail, place.line, place.column]);
  };
  try {
    return { reasons: context.reasons, nodes: walk(context) };
  } catch (error) {
    // A rule that looks at a whole expression is recursive.
    if (error instanceof RangeError) return { reasons: [TOO_DEEP], nodes: 0 };
    throw error;
  }
}

// Depth first without recursion: the order in which the original reports its first reason.
function walk(context) {
  const { policy, say } = context;
  const { types, identifiers, skipped, linked, max_nodes, max_depth } = policy;
  const open = [context.tree];
  const depths = [1];
  let count = 0;
  while (open.length) {
    const node = open.pop();
    const depth = depths.pop();
    const { type } = node;
    const { allowed, keys: known, run } = types.get(type) ?? UNKNOWN;
    count += 1;
    if (count > max_nodes || depth > max_depth) {
      const much = count > max_nodes ? `more than ${max_nodes} nodes` : "";
      say("limit", much || `nested more than ${max_depth} deep`, node);
      break;
    }
    if (!allowed) say("node", type, node);
    if (type === "Identifier") {
      if (identifiers.has(node.name)) say("global", node.name, node);
    } else if (type === "CallExpression") {
      const { callee } = node;
      if (callee.type === "Identifier" && identifiers.has(callee.name)) {
        say("global_call", callee.name, node);
      }
    }
    if (run !== null) for (const check of run) check(node, context);
    // The children in the order of their keys, the last first: it comes out of the stack last.
    const keys = known ?? Object.keys(node).filter((key) => !skipped.has(key));
    for (let i = keys.length - 1; i >= 0; i -= 1) {
      const value = node[keys[i]];
      if (value === null || typeof value !== "object") continue;
      const several = Array.isArray(value);
      for (let j = several ? value.length - 1 : 0; j >= 0; j -= 1) {
        const item = several ? value[j] : value;
        if (item === null || typeof item.type !== "string") continue;
        if (linked) item[UP] = node;
        open.push(item);
        depths.push(depth + 1);
      }
    }
  }
  return count;
}

function shaped(code, exact) {
  try {
    const tree = acorn.parse(code, OPTIONS);
    return exact ? [exactShape(tree)] : shape(tree);
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) return [];
    throw error;
  }
}

// A request with a policy asks for verdicts, one without for shapes.
function answer(line) {
  const { codes, policy, exact } = JSON.parse(line);
  let reply;
  try {
    if (policy) prepare(policy);
    reply = codes.map((code) => (policy ? visit(code, policy) : shaped(code, exact)));
  } catch (error) {
    reply = { error: error.message };
  }
  process.stdout.write(JSON.stringify(reply) + "\n");
}

// The request is ASCII; a line may be large, so that its parts are joined once.
let parts = [];
process.stdin.setEncoding("latin1");
for await (const chunk of process.stdin) {
  const lines = chunk.split("\n");
  parts.push(lines[0]);
  for (const line of lines.slice(1)) {
    answer(parts.join(""));
    parts = [line];
  }
}
