// Structural rules that a policy may name. A rule says by type which nodes it looks at; its checks
// get (node, context), where context is {code, tree, policy, say, facts}, say(kind, detail, node)
// refuses, and node[UP] is the parent of a node.
import { MAX_BITS, constant, length, truth } from "./constants.mjs";
import { Flow } from "./flow.mjs";
import { UP, isTarget, isVariable, keyName, memberName, text, words } from "./names.mjs";

const LOOPS = ["WhileStatement", "DoWhileStatement", "ForStatement"];
const FUNCTIONS = ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"];
// Objects of the host that a program may use but not hold, change or hide.
const OBJECTS = words("Object Array String Number Boolean Math JSON BigInt Date RegExp console");
const GLOBALS = words(`NaN Infinity undefined parseInt parseFloat isNaN isFinite escape unescape
  encodeURI decodeURI encodeURIComponent decodeURIComponent`);
const CONVERTERS = words("String Number Boolean BigInt");
const UNPACKED = words("Math Number String JSON console");
// Names that hosts define and that programs also use for variables of their own.
const HOST_NAMES = words(`window self frames document parent top opener location history navigator
  screen event external name status origin closed performance crypto caches cookieStore indexedDB
  localStorage sessionStorage customElements fetch alert confirm prompt open close stop print find
  focus blur scheduler reportError postMessage sys std os fs vm v8 path url util net tls dns http
  https http2 zlib repl stream buffer cluster domain events inspector constants timers tty wasi
  readline punycode querystring assert load read write run quit version drain gc d8 print
  printErr options java Packages`);
// Run by the language itself: on conversion, on await, by JSON.stringify.
const IMPLICIT = words("toString valueOf then toJSON");
// Written to a built-in function, these would change what the host calls.
const OF_FUNCTIONS = words("call apply bind");
const BORROWED = words("hasOwnProperty toString slice map filter forEach join");
const MAX_LENGTH = 1e7;

function facts(context) {
  return (context.facts ??= new Flow(context.tree, context.policy.members));
}

function refuseAsync(node, { say }) {
  if (node.async) say("node", `${node.type}: async`, node);
  if (node.generator) say("node", `${node.type}: generator`, node);
}

const RULES = {
  async_and_generators: {
    ...Object.fromEntries(FUNCTIONS.map((type) => [type, refuseAsync])),
    ForOfStatement(node, { say }) {
      if (node.await) say("node", "ForOfStatement: await", node);
    },
  },

  declaration_kinds: {
    VariableDeclaration(node, { say }) {
      if (!/^(var|let|const)$/.test(node.kind)) {
        say("node", `VariableDeclaration: ${node.kind}`, node);
      }
    },
  },

  plain_properties: {
    Property(node, { say }) {
      if (node.kind !== "init") say("node", `Property: ${node.kind}ter`, node);
      if (node.computed) say("node", "Property: computed key", node);
    },
  },

  implicit_members: {
    Property(node, { say }) {
      const name = keyName(node);
      if (IMPLICIT.has(name) && node[UP].type === "ObjectExpression") {
        say("node", `Property: ${name}`, node);
      }
    },
    MemberExpression(node, { say }) {
      const name = memberName(node);
      if ((IMPLICIT.has(name) || OF_FUNCTIONS.has(name)) && isTarget(node)) {
        say("node", `MemberExpression: ${name}`, node);
      }
    },
  },

  // What a script's parser reads otherwise: `<!--` opens a comment there. A line that starts with
  // `-->` needs no rule, it is a syntax error in a module.
  one_reading: {
    Program(node, { code, say }) {
      if (code.startsWith("#!")) say("node", "Program: hashbang", node);
    },
    BinaryExpression({ operator, right }, { code, say }) {
      if (operator === "<" && code.startsWith("<!--", right.start - 1)) {
        say("node", "BinaryExpression: <!--", right);
      }
    },
  },

  host_objects: {
    Identifier(node, { say }) {
      const { name } = node;
      if (!OBJECTS.has(name) && !GLOBALS.has(name)) return;
      if (!isVariable(node)) return;
      if (binds(node) || isTarget(node)) say("global", `${name}: bound or assigned`, node);
      else if (OBJECTS.has(name) && !isUse(node)) say("global", `${name}: as a value`, node);
    },
  },

  undeclared_names: {
    Identifier(node, { say }) {
      if (!HOST_NAMES.has(node.name) || !isVariable(node)) return;
      if (!isDeclared(node)) say("global", node.name, node);
    },
  },

  // JSON.parse makes members of any name, __proto__ too.
  json_text: {
    CallExpression({ callee, arguments: [first] }, { policy, say }) {
      if (callee.type !== "MemberExpression" || memberName(callee) !== "parse") return;
      const source = first && joined(first);
      for (const [, name] of source?.matchAll(/"((?:[^"\\]|\\.)*)"\s*:/g) ?? []) {
        const plain = name.replace(/\\u(.{4})/g, (_, hex) => String.fromCharCode(`0x${hex}`));
        if (policy.members.has(plain)) say("node", `JSON.parse: ${plain}`, first);
      }
    },
  },

  computed_members: {
    MemberExpression(node, context) {
      if (!node.computed || node.property.type === "Literal") return;
      const host = node.object.type === "Identifier" && OBJECTS.has(node.object.name);
      if (host || !facts(context).allows(node)) {
        context.say("node", "MemberExpression: computed key", node);
      }
    },
  },

  endless_loops: Object.fromEntries(LOOPS.map((type) => [type, refuseEndless])),

  large_constants: {
    BinaryExpression(node, { say }) {
      const { operator, left, right } = node;
      if (operator !== "**" && operator !== "<<") return;
      const large = constant(node) === "large";
      const power = constant(right);
      if (large || (typeof power === "bigint" && power > MAX_BITS && constant(left) === null)) {
        say("limit", `the result of ${operator} has more than ${MAX_BITS} bits`, node);
      }
    },
    CallExpression(node, { say }) {
      const size = length(node);
      if (size > MAX_LENGTH) say("limit", `a length of more than ${MAX_LENGTH}`, node);
    },
  },
};

// Does an identifier name what is declared here: a variable, a function or a parameter?
function binds(node) {
  const up = node[UP];
  if (up.type === "VariableDeclarator") return up.id === node;
  return FUNCTIONS.includes(up.type) && up.body !== node;
}

// May a host's object stand here? As what is called, as the object of a fixed member that is only
// read, in a comparison, taken apart by a pattern, or as the callback of a method.
function isUse(node) {
  const up = node[UP];
  switch (up.type) {
    case "CallExpression":
      if (up.callee === node) return true;
      return CONVERTERS.has(node.name) && up.arguments.length === 1 &&
        up.callee.type === "MemberExpression" && !up.callee.computed &&
        /^(map|filter|some|every|find|flatMap|from)$/.test(up.callee.property.name);
    case "MemberExpression":
      if (up.object !== node || memberName(up) === "valueOf") return false;
      for (let at = up; at.type === "MemberExpression"; at = at[UP]) if (isTarget(at)) return false;
      if (node.name !== "Object" || memberName(up) !== "create") return true;
      return up[UP].type === "CallExpression" && up[UP].arguments[0]?.raw === "null" &&
        up[UP].arguments.length === 1;
    case "BinaryExpression":
    case "UnaryExpression":
      return true;
    case "VariableDeclarator":
      return up.id.type === "ObjectPattern" && UNPACKED.has(node.name);
    default:
      return false;
  }
}

// Is a variable declared in a scope around it? What is hoisted out of an inner block is not seen.
function isDeclared(node) {
  const { name } = node;
  if (binds(node)) return true;
  for (let at = node; at; at = at[UP]) {
    const made = at.params ?? at.body ?? [];
    const loop = [at.init, at.left].filter((item) => item?.type === "VariableDeclaration");
    const items = Array.isArray(made) ? [...made, at.id, ...loop] : loop;
    if (items.some((item) => declares(item, name))) return true;
  }
  return false;
}

function declares(node, name) {
  switch (node?.type) {
    case "Identifier":
      return node.name === name;
    case "FunctionDeclaration":
      return node.id.name === name;
    case "VariableDeclaration":
      return node.declarations.some(({ id }) => declares(id, name));
    case "ArrayPattern":
      return node.elements.some((item) => declares(item, name));
    case "ObjectPattern":
      return node.properties.some((item) => declares(item.value ?? item.argument, name));
    case "AssignmentPattern":
      return declares(node.left, name);
    case "RestElement":
      return declares(node.argument, name);
    default:
      return false;
  }
}

// The text of literals and of their sums; undefined where anything else takes part.
function joined(node) {
  if (node.type !== "BinaryExpression" || node.operator !== "+") return text(node);
  const left = joined(node.left);
  const right = joined(node.right);
  return left === undefined || right === undefined ? undefined : left + right;
}

// A test that is always true, and nothing inside that leaves the loop.
function refuseEndless(node, { say }) {
  const { test, [UP]: up } = node;
  if (test !== null && truth(test) !== true) return;
  const inside = new Map();
  for (let at = up; at.type === "LabeledStatement"; at = at[UP]) inside.set(at.label.name, false);
  if (!leaves(node.body, inside, true)) say("limit", "a loop without an end", node);
}

// Is there a return, or a jump out of the loop? `near`: does a bare break still mean this loop?
// `labels`: its own labels (false) and those inside of it (true).
function leaves(node, labels, near) {
  if (node === null || typeof node.type !== "string" || FUNCTIONS.includes(node.type)) return false;
  if (node.type === "ReturnStatement") return true;
  const isBreak = node.type === "BreakStatement";
  if (isBreak || node.type === "ContinueStatement") {
    if (node.label === null) return near && isBreak;
    const inner = labels.get(node.label.name);
    return inner === undefined || (!inner && isBreak);
  }
  const named = node.type === "LabeledStatement";
  const below = named ? new Map(labels).set(node.label.name, true) : labels;
  const still = near && !/^(For|For(In|Of)|While|DoWhile|Switch)Statement$/.test(node.type);
  return Object.values(node).flat().some((item) =>
    item && typeof item === "object" && leaves(item, below, still));
}

// Object.prototype.hasOwnProperty.call(o, k) and the like: what is called is fixed, and no
// prototype is left in hand.
function isIdiom({ object, property, computed, [UP]: up }) {
  const whole = computed ? "" : `${object.name}.${property.name}`;
  if (!/^(Object|Array)\.prototype$/.test(whole)) return false;
  const { computed: far, property: method, [UP]: over } = up;
  const call = over[UP];
  return up.type === "MemberExpression" && !far && BORROWED.has(method.name) &&
    over.type === "MemberExpression" && over.object === up && memberName(over) === "call" &&
    call.type === "CallExpression" && call.callee === over;
}

// Names and members that a policy blocks.
const BLOCKED = {
  names: {
    Identifier(node, { policy, say }) {
      if (policy.names.has(node.name) && isVariable(node)) say("global", node.name, node);
    },
  },
  members: {
    MemberExpression(node, { policy, say }) {
      const name = memberName(node);
      if (!policy.members.has(name) || isIdiom(node)) return;
      say("node", `MemberExpression: ${name}`, node);
    },
    Property(node, { policy, say }) {
      const name = keyName(node);
      if (policy.members.has(name)) say("node", `Property: ${name}`, node);
    },
  },
};

// The checks of a policy by the type of node.
export function checks(policy) {
  const found = new Map();
  const unknown = policy.rules.find((name) => !(name in RULES));
  if (unknown) throw new Error(`rule '${unknown}'; allowed: ${Object.keys(RULES).join(", ")}`);
  const wanted = Object.keys(BLOCKED).filter((key) => policy[key].size).map((key) => BLOCKED[key]);
  wanted.push(...policy.rules.map((name) => RULES[name]));
  for (const rule of wanted) {
    for (const [type, check] of Object.entries(rule)) {
      if (!found.has(type)) found.set(type, []);
      found.get(type).push(check);
    }
  }
  return found;
}
