// What a program says about its names, without regard to order and scope: all that is ever bound or
// assigned to a name, everywhere, counts for the name; and which members it defines.
export const UP = Symbol("parent");

export const words = (text) => new Set(text.split(/\s+/));
// Methods of arrays that give a callback the index as its second argument.
const INDEXED = words(`map filter forEach some every find findIndex findLast findLastIndex
  flatMap`);
export const LOGICAL_ASSIGN = words("||= &&= ??=");
export const FUNCTIONS = words("FunctionDeclaration FunctionExpression ArrowFunctionExpression");

// The name of a member where the program's text gives it; undefined where it is computed.
export function memberName({ computed, property }) {
  return computed ? text(property) : property.name;
}

export function keyName({ computed, key }) {
  return computed ? text(key) : (key.name ?? String(key.value));
}

export function text(node) {
  if (node.type === "Literal") return node.regex ? undefined : String(node.value);
  const plain = node.type === "TemplateLiteral" && !node.expressions.length;
  return plain ? node.quasis[0].value.cooked : undefined;
}

// Is an expression written to: assigned, updated, deleted, or bound by a pattern or a loop?
export function isTarget(node) {
  const up = node[UP];
  switch (up.type) {
    case "AssignmentExpression":
    case "AssignmentPattern":
    case "ForInStatement":
    case "ForOfStatement":
      return up.left === node;
    case "UpdateExpression":
    case "ArrayPattern":
    case "RestElement":
      return true;
    case "UnaryExpression":
      return up.operator === "delete";
    case "ChainExpression":
      return isTarget(up);
    case "Property":
      return up.value === node && up[UP].type === "ObjectPattern";
    default:
      return false;
  }
}

// Does an identifier name a variable, and not a member, a key or a label?
export function isVariable(node) {
  const up = node[UP];
  switch (up.type) {
    case "MemberExpression":
      return up.object === node || up.computed;
    case "Property":
      return up.value === node || up.computed;
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return false;
    default:
      return true;
  }
}


export class Names {
  constructor(tree) {
    this.names = new Map(); // name -> {defs: [{how, ...}], refs: [Identifier]}
    this.defined = new Set(); // members that the program defines, by key or by assignment
    this.lengths = []; // what it gives to members called length
    this.writes = []; // what it gives to members of computed name: [key, value or null]
    this.badLength = false; // members of any name may come in by JSON.parse and the like
    this.badMethods = false;
    this.collect(tree);
  }

  entry(name) {
    let found = this.names.get(name);
    if (!found) this.names.set(name, (found = { defs: [], refs: [] }));
    return found;
  }

  collect(tree) {
    const open = [tree];
    while (open.length) {
      const node = open.pop();
      this.note(node);
      for (const key in node) {
        const value = node[key];
        if (value === null || typeof value !== "object") continue;
        for (const item of Array.isArray(value) ? value : [value]) {
          if (item === null || typeof item.type !== "string") continue;
          item[UP] = node;
          open.push(item);
        }
      }
    }
  }

  note(node) {
    const { type } = node;
    if (type === "Identifier") {
      if (isVariable(node)) this.noteVariable(node);
    } else if (type === "MemberExpression") this.noteMember(node);
    else if (type === "Property") {
      if (node.computed) this.writes.push([node.key, node.value]);
      else this.noteKey(keyName(node), node);
    } else if (type === "Literal" && node.regex && /\(\?<[^=!]/.test(node.regex.pattern)) {
      this.badLength = true; // a group called length
    }
  }

  noteKey(name, property) {
    this.mention(name);
    if (property[UP].type !== "ObjectExpression") return;
    const call = property[UP][UP];
    const counts = call.type === "CallExpression" && call.callee.type === "MemberExpression" &&
      call.callee.object.name === "Array" && call.callee.property.name === "from" &&
      call.arguments[0] === property[UP];
    if (name === "length") {
      if (!counts) this.lengths.push(property.value);
    } else this.defined.add(name);
  }

  mention(name) {
    if (name === "fromEntries") this.badMethods = true;
    if (/^(parse|fromEntries|groupBy|groups|compile)$/.test(name)) this.badLength = true;
  }

  noteMember(node) {
    const name = memberName(node);
    if (name !== undefined) this.mention(name);
    const up = node[UP];
    if (name === "match" || name === "matchAll") {
      const [first] = (up.type === "CallExpression" && up.callee === node && up.arguments) || [];
      if (!first?.regex) this.badLength = true;
    }
    if (!isTarget(node) || (up.type === "UnaryExpression")) return;
    let value = null;
    if (up.type === "UpdateExpression") value = up;
    if (up.type === "AssignmentExpression") {
      value = up.operator === "=" || LOGICAL_ASSIGN.has(up.operator) ? up.right : up;
    }
    if (name === undefined) this.writes.push([node.property, value]);
    else if (name === "length") this.lengths.push(value);
    else this.defined.add(name);
  }

  // Every appearance of a variable is a definition or a reference; an update is both.
  noteVariable(node) {
    if (node.name === "RegExp") this.badLength = true;
    const found = this.entry(node.name);
    const how = definition(node);
    if (how) found.defs.push(how);
    if (!how || how.read) found.refs.push(node);
  }

  // Is it the call of a built-in method of these names, which the program nowhere redefines?
  builtIn(node, ...names) {
    if (node.type !== "CallExpression" || node.callee.type !== "MemberExpression") return false;
    const name = memberName(node.callee);
    return names.includes(name) && this.trusted(name);
  }

  trusted(name) {
    return this.okMethods && !this.defined.has(name);
  }

  // Is a parameter the index that an array's method passes on?
  isIndex(fn, index) {
    const call = fn[UP];
    if (call.type !== "CallExpression" || call.callee.type !== "MemberExpression") return false;
    const name = memberName(call.callee);
    if (name === undefined || !this.trusted(name)) return false;
    const place = call.arguments.indexOf(fn);
    if (name === "from") return call.callee.object.name === "Array" && place === 1 && index === 1;
    if (place !== 0) return false;
    return INDEXED.has(name) ? index === 1 : /^reduce(Right)?$/.test(name) && index === 2;
  }

  // The calls of a function that is only ever called, by the one name it has; null for others.
  calls(fn) {
    let name = fn.type === "FunctionDeclaration" ? fn.id.name : null;
    const up = fn[UP];
    if (fn.type !== "FunctionDeclaration" && !fn.id) {
      if (up.type === "VariableDeclarator" && up.id.type === "Identifier") name = up.id.name;
    }
    if (name === null || this.names.get(name).defs.length !== 1) return null;
    const calls = [];
    for (const ref of this.names.get(name).refs) {
      if (ref[UP].type !== "CallExpression" || ref[UP].callee !== ref) return null;
      calls.push(ref[UP]);
    }
    return calls;
  }

  // What the program's calls pass at a place; null where that is not known. The host may call a
  // function of the top level too: what it passes is the test's data, not the program's.
  passed(fn, index) {
    const calls = this.calls(fn);
    if (!calls?.length) return null;
    const found = [];
    for (const { arguments: all } of calls) {
      if (all.slice(0, index + 1).some((item) => item.type === "SpreadElement")) return null;
      if (all.length > index) found.push(all[index]);
    }
    return found;
  }

}

// How an appearance of a variable defines it; null where it is only read.
function definition(node) {
  const up = node[UP];
  const over = up[UP];
  switch (up.type) {
    case "VariableDeclarator":
      if (up.id !== node) return null;
      if (over[UP].type === "ForOfStatement" && over[UP].left === over) return each(over[UP]);
      if (over[UP].type === "ForInStatement" && over[UP].left === over) return OTHER;
      return up.init ? { how: "value", value: up.init } : { how: "none" };
    case "AssignmentExpression":
      if (up.left !== node) return null;
      if (up.operator === "=") return { how: "value", value: up.right };
      if (LOGICAL_ASSIGN.has(up.operator)) return { how: "value", value: up.right, read: true };
      if (up.operator === "+=") return { how: "added", value: up.right, read: true };
      return { how: "value", value: up, read: true };
    case "UpdateExpression":
      return { how: "value", value: up, read: true };
    case "ForOfStatement":
      return up.left === node ? each(up) : null;
    case "AssignmentPattern":
      if (up.left !== node) return null;
      return FUNCTIONS.has(over.type) ? parameter(over, up, up.right) : OTHER;
    case "ArrayPattern":
      return paired(node, up, over);
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      if (up.id === node) return { how: "function", value: up };
      return up.body === node ? null : parameter(up, node);
    default:
      return isTarget(node) ? OTHER : null;
  }
}

const OTHER = { how: "other" };

function parameter(fn, node, fallback) {
  return { how: "parameter", fn, index: fn.params.indexOf(node), fallback };
}

function each({ right }) {
  return { how: right.type === "CallExpression" ? "keys" : "each", value: right };
}

// An array's pattern against an array's literal, or against the entries of an array.
function paired(node, pattern, over) {
  const index = pattern.elements.indexOf(node);
  let value = over.type === "VariableDeclarator" ? over.init : null;
  if (over.type === "AssignmentExpression") value = over.right;
  if (value?.type === "ArrayExpression") {
    const before = value.elements.slice(0, index + 1);
    if (before.length > index && before.every((item) => item && item.type !== "SpreadElement")) {
      return { how: "value", value: before[index] };
    }
  }
  const loop = over.type === "VariableDeclarator" && over[UP][UP];
  if (loop && loop.type === "ForOfStatement" && loop.left === over[UP] && index === 0) {
    if (loop.right.type === "CallExpression") return { how: "entries", value: loop.right };
  }
  return OTHER;
}
