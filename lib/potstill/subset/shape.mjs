// A program's syntax tree in one line, without the names that its author chose: see
// curation/shapes.py. All ways to write a function are one: so are all declarations.
const NAMES = {
  FunctionDeclaration: "Function", FunctionExpression: "Function",
  ArrowFunctionExpression: "Function",
};
const BINDING = new Set(Object.keys(NAMES));

export function shape(tree) {
  const bound = new Set();
  every(tree, (node) => {
    if (node.type === "VariableDeclarator") targets(node.id, bound);
    if (node.type === "CatchClause" && node.param) targets(node.param, bound);
    if (node.type === "ClassDeclaration") targets(node.id, bound);
    if (BINDING.has(node.type)) for (const one of [node.id, ...node.params]) targets(one, bound);
  });
  const found = [];
  name(tree, bound, found);
  return found;
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
