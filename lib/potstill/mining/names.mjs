// Which names a piece of JavaScript takes from around it, and which of those it writes to.
// Scopes are the language's: `var` belongs to the function, what else is declared to its block.

const isFunction = (node) => /Function/.test(node.type);
const isNode = (value) => typeof value?.type === "string";

export function children(node) {
  return Object.keys(node).flatMap((key) => node[key]).filter(isNode);
}

// The names that a pattern binds.
export function bound(pattern) {
  switch (pattern?.type) {
    case "Identifier": return [pattern.name];
    case "ObjectPattern": return pattern.properties.flatMap((each) => bound(each.value ?? each));
    case "ArrayPattern": return pattern.elements.flatMap(bound);
    case "AssignmentPattern": return bound(pattern.left);
    case "RestElement": return bound(pattern.argument);
    default: return [];
  }
}

// `var`s below a node, without those of inner functions.
export function hoisted(node) {
  if (isFunction(node) || node.type === "ClassBody") return [];
  const own = node.type === "VariableDeclaration" && node.kind === "var";
  const names = own ? node.declarations.flatMap(({ id }) => bound(id)) : [];
  return [...names, ...children(node).flatMap(hoisted)];
}

// What the statements of a block bind in it.
export function declared(statements) {
  return statements.flatMap((node) => {
    if (node.type === "VariableDeclaration") {
      return node.declarations.flatMap(({ id }) => bound(id));
    }
    return /^(Function|Class)Declaration$/.test(node.type) && node.id ? [node.id.name] : [];
  });
}

// {reads, writes, usesThis} of nodes, as sets of names that are bound outside them.
export function free(roots) {
  const found = { reads: new Set(), writes: new Set(), usesThis: false };
  for (const root of [roots].flat()) visit(root, [], found, true);
  return found;
}

function visit(node, scopes, found, outer) {
  const read = (inner, more = []) => visit(inner, [...scopes, ...more], found, outer);
  const write = (pattern) => {
    for (const name of targets(pattern)) if (!isBound(name, scopes)) found.writes.add(name);
  };
  switch (node.type) {
    case "Identifier":
      if (!isBound(node.name, scopes)) found.reads.add(node.name);
      return;
    case "ThisExpression":
      found.usesThis ||= outer;
      return;
    case "MemberExpression":
      read(node.object);
      if (node.computed) read(node.property);
      return;
    case "Property": case "MethodDefinition": case "PropertyDefinition":
      if (node.computed) read(node.key);
      if (node.value) read(node.value);
      return;
    case "LabeledStatement":
      read(node.body);
      return;
    case "BreakStatement": case "ContinueStatement": case "MetaProperty":
      return;
    case "AssignmentExpression": write(node.left); break;
    case "UpdateExpression": write(node.argument); break;
    case "ForInStatement": case "ForOfStatement": write(node.left); break;
    default:
  }
  if (isFunction(node)) return ofFunction(node, scopes, found, outer);
  let names = [];
  if (node.type === "BlockStatement" || node.type === "Program") names = declared(node.body);
  if (/^For/.test(node.type)) names = declared([node.init ?? node.left].filter(Boolean));
  if (node.type === "SwitchStatement") {
    names = declared(node.cases.flatMap((each) => each.consequent));
  }
  if (node.type === "CatchClause") names = bound(node.param);
  if (/^Class/.test(node.type) && node.id) names = [node.id.name];
  for (const child of children(node)) read(child, names.length ? [new Set(names)] : []);
}

function ofFunction(node, scopes, found, outer) {
  const arrow = node.type === "ArrowFunctionExpression";
  const names = new Set([...node.params.flatMap(bound), ...hoisted(node.body)]);
  if (!arrow) names.add("arguments");
  if (node.id) names.add(node.id.name);
  // the root's own `this` is nobody's: it is called as a plain function
  const inner = outer && (arrow || scopes.length === 0);
  for (const child of [...node.params, node.body]) visit(child, [...scopes, names], found, inner);
}

const isBound = (name, scopes) => scopes.some((names) => names.has(name));

function targets(pattern) {
  return pattern.type === "VariableDeclaration" ? [] : bound(pattern);
}
