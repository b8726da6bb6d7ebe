// A program's syntax tree in one line, without the names that its author chose: see
// curation/shapes.py. All ways to write a function are one: so are all declarations.
const NAMES = {
  FunctionDeclaration: "Function", FunctionExpression: "Function",
  ArrowFunctionExpression: "Function",
};
const BINDING = new Set(Object.keys(NAMES));
const PLACES = new Set(["start", "end", "raw", "shorthand"]); // how it is written, and where

export function shape(tree) {
  const found = [];
  name(tree, boundNames(tree, false), found);
  return found;
}

// The whole tree, but variables are numbers, and const, let and var are one.
export function exactShape(tree) {
  const numbers = new Map([...boundNames(tree, true)].map((bound, i) => [bound, `_${i}`]));
  return JSON.stringify(tree, function plain(key, value) {
    if (PLACES.has(key) || (key === "kind" && this.type === "VariableDeclaration")) return undefined;
    if (typeof value === "bigint") return String(value);
    const ofMember = (key === "property" || key === "key") && !this.computed;
    if (value?.type !== "Identifier" || ofMember || key === "label") return value;
    return { type: "Identifier", name: numbers.get(value.name) ?? value.name };
  });
}

// The names that a program gives; where it is exact, not those of what it defines.
function boundNames(tree, exact) {
  const bound = new Set();
  every(tree, (node) => {
    if (node.type === "VariableDeclarator") targets(node.id, bound);
    if (node.type === "CatchClause" && node.param) targets(node.param, bound);
    if (BINDING.has(node.type)) for (const one of node.params) targets(one, bound);
    if (!exact && (BINDING.has(node.type) || node.type === "ClassDeclaration")) {
      targets(node.id, bound);
    }
  });
  return bound;
}

function children(node) {
  const found = [];
  for (const key of Object.keys(node)) {
    const value = node[key];
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && typeof item === "object" && typeof item.type === "string") {
        found.push(item);
      }
    }
  }
  return found;
}

function every(node, visit) {
  visit(node);
  for (const child of children(node)) every(child, visit);
}

function targets(pattern, bound) {
  if (!pattern) return;
  if (pattern.type === "Identifier") bound.add(pattern.name);
  else if (pattern.type === "AssignmentPattern") targets(pattern.left, bound);
  else if (pattern.type === "Property") targets(pattern.value, bound);
  else if (pattern.type !== "MemberExpression") {
    for (const child of children(pattern)) targets(child, bound);
  }
}

function name(node, bound, found) {
  if (node.directive !== undefined || node.type === "ImportDeclaration") return;
  if (node.type === "Identifier") found.push(bound.has(node.name) ? "_" : node.name);
  else if (node.type === "Literal") found.push(node.regex ? "regex" : typeof node.value);
  else if (node.type === "TemplateElement") found.push("string");
  else if (node.type === "MemberExpression" && !node.computed) {
    found.push(`.${node.property.name}`);
    name(node.object, bound, found);
  } else {
    const sign = typeof node.operator === "string" ? node.operator : "";
    found.push((NAMES[node.type] ?? node.type) + sign);
    for (const child of children(node)) name(child, bound, found);
  }
}
