// Documented top-level functions of JavaScript modules, each with what it needs of its module: one
// JSON request and one JSON reply a line. It ends with its standard input.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import vm from "node:vm";
import { bound, free, hoisted } from "./names.mjs";

const acorn = createRequire(process.argv[2] + "/")("acorn");
const MAX_PARTS = 12; // helpers and constants that come along
// What the language has of its own, in a realm without a host.
const LANGUAGE = new Set(vm.runInNewContext("Object.getOwnPropertyNames(globalThis)"));
// An engine may lack these.
for (const name of ["Intl", "WebAssembly", "console"]) LANGUAGE.delete(name);
const MODULE = new Set(["require", "module", "exports", "__dirname", "__filename"]);
// Comments for tools.
const NOTES = /[ej]s[lh]int|istanbul|prettier|@ts-|[@#]__\w+__|(c8|biome-)ignore|^\s*globals? /;
const isFunction = (node) => /Function/.test(node?.type ?? "");

class Dropped extends Error {}

function parse(text, comments) {
  for (const sourceType of ["module", "script"]) {
    comments.length = 0;
    try {
      return acorn.parse(text, {
        ecmaVersion: "latest", sourceType, allowHashBang: true, allowReturnOutsideFunction: true,
        onComment: comments,
      });
    } catch { /* tried as the other kind */ }
  }
  return null; // packages ship files that are no JavaScript
}

class Module {
  constructor(text) {
    this.text = text;
    this.comments = [];
    this.functions = []; // {name, node, part, start}: part is what stands in the module's text
    this.plain = new Map(); // name -> {part, kind}, bound once
    this.reasons = new Map(); // name -> why it cannot come along
    const tree = parse(text, this.comments);
    for (const node of tree?.body ?? []) this.read(node);
    // a name that is written to anywhere is not what its declaration says
    for (const name of tree ? free(tree.body).writes : []) {
      if (this.plain.has(name)) this.reasons.set(name, "bound_twice");
    }
  }

  bind(name, part, kind, reason) {
    if (this.plain.has(name) || this.reasons.has(name)) this.reasons.set(name, "bound_twice");
    else if (reason) this.reasons.set(name, reason);
    else this.plain.set(name, { part, kind });
  }

  read(node, start = node.start) {
    switch (node.type) {
      case "ImportDeclaration":
        for (const each of node.specifiers) this.bind(each.local.name, null, "", "needs_package");
        return;
      case "ExportNamedDeclaration": case "ExportDefaultDeclaration":
        if (node.declaration) this.read(node.declaration, start);
        return;
      case "FunctionDeclaration":
        if (node.id) this.bind(node.id.name, node, "function");
        this.functions.push({ name: node.id?.name, node, part: node, start });
        return;
      case "ArrowFunctionExpression": case "FunctionExpression":
        this.functions.push({ name: undefined, node, part: node, start });
        return;
      case "ClassDeclaration":
        if (node.id) this.bind(node.id.name, null, "", "needs_class");
        return;
      case "VariableDeclaration":
        for (const each of node.declarations) this.variable(node, each, start);
        return;
      case "ExpressionStatement":
        this.exported(node.expression, start);
        return;
      default:
        for (const name of new Set(hoisted(node))) this.bind(name, null, "", "needs_condition");
    }
  }

  variable(statement, each, start) {
    const needsPackage = each.init && free(each.init).reads.has("require");
    const reason = needsPackage ? "needs_package" : each.init ? "" : "needs_condition";
    for (const name of bound(each.id)) this.bind(name, { ...each, statement }, "variable", reason);
    if (isFunction(each.init) && each.id.type === "Identifier") {
      const part = { ...each, statement };
      this.functions.push({ name: each.id.name, node: each.init, part, start });
    }
  }

  // `exports.f = function ...`, `module.exports = function f ...`; `f.x = ...` changes f.
  exported(node, start) {
    if (node.type !== "AssignmentExpression" || node.left.type !== "MemberExpression") return;
    let base = node.left;
    while (base.type === "MemberExpression") base = base.object;
    if (!MODULE.has(base.name)) {
      if (base.name) this.reasons.set(base.name, "bound_twice");
      return;
    }
    if (!isFunction(node.right)) return;
    const { property } = node.left;
    const name = node.right.id?.name ?? (property.name === "exports" ? undefined : property.name);
    this.functions.push({ name, node: node.right, part: node.right, start });
  }

  // The comment that ends right before a place, as its text; empty where there is none.
  documented(start) {
    const before = this.comments.filter((each) => each.end <= start);
    const found = [];
    for (let end = start; before.length; end = found[0].start) {
      const last = before.pop();
      const between = this.text.slice(last.end, end);
      if (between.trim() || /\n\s*\n/.test(between)) break;
      const line = this.text.slice(this.text.lastIndexOf("\n", last.start) + 1, last.start);
      if (line.trim()) break; // it says something of what stands before it
      if (found.length && (last.type === "Block" || found[0].type === "Block")) break;
      found.unshift(last);
    }
    const said = found.filter((each) => !NOTES.test(each.value));
    const lines = said.map(({ type, value }) => type === "Block" ? unstarred(value) : value.trim());
    return lines.join("\n").trim();
  }

  // The text of a node without its comments.
  bare(node) {
    let text = "";
    let from = node.start;
    for (const each of this.comments) {
      if (each.start < from || each.end > node.end) continue;
      text += this.text.slice(from, each.start) + (each.value.includes("\n") ? "\n" : " ");
      from = each.end;
    }
    text += this.text.slice(from, node.end);
    return from === node.start ? text : text.replace(/[ \t]+$/gm, "").replace(/\n{2,}/g, "\n");
  }

  code({ part, kind }, name) {
    if (kind === "function") return this.bare(part);
    if (kind === "variable") return `${part.statement.kind} ${this.bare(part)};`;
    if (part.type === "ArrowFunctionExpression") return `const ${name} = ${this.bare(part)};`;
    const text = this.bare(part); // a function expression becomes a declaration
    return part.id ? text : text.replace(/^(function)\s*(\*?)\s*/, `$1$2 ${name}`);
  }

  standAlone({ name, node, part }) {
    if (!name) throw new Dropped("anonymous");
    if (node.async) throw new Dropped("asynchronous");
    const own = this.plain.get(name);
    if (this.reasons.has(name)) throw new Dropped(this.reasons.get(name));
    if (node.body.type === "BlockStatement" && !node.body.body.length) throw new Dropped("no_body");
    let kind = part.statement ? "variable" : "";
    if (part.type === "FunctionDeclaration") kind = "function";
    const parts = new Map([[name, own && kind ? own : { part, kind }]]);
    const left = this.needs(node);
    while (left.size) {
      const next = [...left].sort()[0]; // the same reason on every run
      left.delete(next);
      if (parts.has(next)) continue;
      const isOwn = this.plain.has(next) || this.reasons.has(next);
      if (!isOwn && LANGUAGE.has(next)) continue;
      if (!isOwn && MODULE.has(next)) throw new Dropped("needs_package");
      if (!isOwn) throw new Dropped("needs_unknown");
      if (this.reasons.has(next)) throw new Dropped(this.reasons.get(next));
      if (parts.size > MAX_PARTS) throw new Dropped("needs_much");
      const found = this.plain.get(next);
      parts.set(next, found);
      for (const more of this.needs(found.part)) left.add(more);
    }
    const order = [...parts].sort(([, a], [, b]) => a.part.start - b.part.start);
    return [...new Set(order.map(([each, found]) => this.code(found, each)))].join("\n");
  }

  needs(node) {
    const isVariable = node.type === "VariableDeclarator";
    const { reads, writes, usesThis } = free(isVariable ? [node.init, node.id] : node);
    if (usesThis) throw new Dropped("needs_this");
    if (writes.size) throw new Dropped("global_state");
    if (isVariable) for (const name of bound(node.id)) reads.delete(name);
    return reads;
  }
}

function unstarred(text) {
  const lines = text.replace(/^[*!]+/, "").split("\n");
  return lines.map((line) => line.replace(/^\s*\*? ?/, "").trimEnd()).join("\n").trim();
}

// What a comment says of a function: the description, and after a blank line its tags.
function docstring(comment) {
  const link = /\{@link(?:code|plain)?\s+([^}|\s]+)(?:[|\s]([^}]*))?\}/g;
  const said = comment.replace(link, (_, to, text) => text || to)
    .replace(/\[([^\]]+)\]\((?:[^()\s]|\([^()\s]*\))*\)/g, "$1");
  const place = said.search(/^@\w/m);
  const tags = place < 0 ? "" : said.slice(place);
  const described = /^@desc(?:ription)?\s+([^@]+)/m.exec(tags)?.[1] ?? "";
  const text = (place < 0 ? said : said.slice(0, place)).trim() || described.trim();
  return /[A-Za-z]{2}/.test(text) ? `${text}\n\n${tags}`.trim() : "";
}

function mine(text) {
  const module = new Module(text);
  const found = [];
  for (const each of module.functions) {
    const said = docstring(module.documented(each.start));
    if (!said) continue;
    try {
      const code = module.standAlone(each);
      const names = each.node.params.map((node) => module.bare(node));
      found.push({ name: each.name, arguments: names.join(", "), docstring: said, code });
    } catch (error) {
      if (!(error instanceof Dropped)) throw error;
      found.push(error.message);
    }
  }
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const replies = JSON.parse(line).codes.map((text) => {
    try {
      return mine(text);
    } catch (error) {
      if (error instanceof RangeError) return ["nested_too_deeply"];
      throw error;
    }
  });
  process.stdout.write(JSON.stringify(replies) + "\n");
}
