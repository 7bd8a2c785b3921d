// What people are asked, as forms made from the JSON Schema of the answer.

function formOf({ interaction, answer_schema: schema }, send) {
  const form = element("form", { autocomplete: "off" });
  form.append(element("h4", {}, interaction.prompt));
  if (interaction.source) form.append(faint(`Asked by the server ${interaction.source}`));
  if (interaction.context) form.append(faint(interaction.context));
  if (interaction.url) {
    form.append(faint("Visit this address yourself, if you trust it:"));
    form.append(element("pre", {}, interaction.url));
  }
  if (interaction.expires_at) {
    form.append(faint(`Open until ${new Date(interaction.expires_at).toLocaleString()}`));
  }
  for (const option of interaction.dialog_options) describeDialog(form, option);
  const readers = [];
  for (const [name, field] of Object.entries(schema.properties)) {
    if (!("const" in field)) readers.push([name, fieldOf(form, interaction, name, field)]);
  }
  form.append(element("button", { type: "submit" }, "Answer"));
  if (interaction.response_schema) addDecline(form, interaction, send);
  form.append(element("p", { class: "problem", role: "alert", hidden: "" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answer = fixedOf(interaction);
    for (const [name, read] of readers) {
      const value = read();
      if (value !== undefined) answer[name] = value;
    }
    send(form, answer);
  });
  return form;
}

function fixedOf(interaction) {
  return { interaction_id: interaction.id, response_type: interaction.interaction_type };
}

function addDecline(form, interaction, send) {
  const button = element("button", { type: "button", class: "quiet" }, "Decline");
  button.addEventListener("click", () => {
    send(form, { ...fixedOf(interaction), decision: "decline" });
  });
  form.append(" ", button);
}

function describeDialog(form, option) {
  for (const [name, value] of Object.entries(option.parameters)) {
    form.append(faint(`${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`));
  }
}

function faint(text) {
  return element("p", { class: "faint" }, text);
}

// Adds what a person fills in, and returns a function that reads it.
function fieldOf(form, interaction, name, field) {
  if (field.writeOnly && field.type === "object") return credentials(form, interaction, field);
  if (field.type === "object") return nested(form, interaction, field);
  if (field.enum) return choice(form, interaction, name, field);
  return plain(form, interaction, name, field, true);
}

function nested(form, interaction, field) {
  const wanted = new Set(field.required ?? []);
  const readers = Object.entries(field.properties ?? {}).map(([name, inner]) => {
    const isWanted = wanted.has(name);
    if (inner.enum) return [name, choice(form, interaction, name, inner, isWanted)];
    return [name, plain(form, interaction, name, inner, isWanted)];
  });
  return () => {
    const values = readers.map(([name, read]) => [name, read()]);
    return Object.fromEntries(values.filter(([, value]) => value !== undefined));
  };
}

function choice(form, interaction, name, field, isWanted = true) {
  if (name === "dialog_option_id" && field.enum.length === 1) return () => field.enum[0];
  const group = `${interaction.id}-${name}`;
  const inputs = field.enum.map((option) => {
    const input = element("input", { type: "radio", name: group, value: option });
    input.required = isWanted;
    return input;
  });
  form.append(element(
    "fieldset", {}, element("legend", {}, field.title ?? words(name)),
    ...inputs.map((input, at) => element("label", {}, input, String(field.enum[at]))),
  ));
  return () => field.enum[inputs.findIndex((input) => input.checked)];
}

function plain(form, interaction, name, field, isWanted) {
  const id = `${interaction.id}-${name}`;
  const label = element("label", { for: id }, field.title ?? words(name));
  const input = inputFor(id, name, field);
  if (field.description) {
    const hint = faint(field.description);
    hint.id = `${id}-hint`;
    input.setAttribute("aria-describedby", hint.id);
    form.append(label, input, hint);
  } else {
    form.append(label, input);
  }
  if (input.type === "checkbox") return () => input.checked;
  input.required = isWanted;
  if (field.default !== undefined) input.value = field.default;
  if (input.type === "number") return () => (input.value === "" ? undefined : input.valueAsNumber);
  return () => (input.value === "" && !isWanted ? undefined : input.value);
}

const INPUT_TYPES = { email: "email", uri: "url", date: "date", password: "password" };

function inputFor(id, name, field) {
  if (field.type === "boolean") return element("input", { id, type: "checkbox" });
  if (field.type === "integer" || field.type === "number") {
    return element("input", { id, type: "number", step: field.type === "integer" ? "1" : "any" });
  }
  if (name === "answer") return element("textarea", { id, rows: "3" });
  return element("input", { id, type: INPUT_TYPES[field.format] ?? "text", autocomplete: "off" });
}

function credentials(form, interaction, field) {
  const read = field.properties
    ? namedCredentials(form, interaction, field)
    : anyCredentials(form, interaction);
  form.append(faint("Secrets go to the tools that need them, never to the model."));
  return read;
}

function namedCredentials(form, interaction, field) {
  const wanted = new Set(field.required ?? []);
  const inputs = Object.keys(field.properties).map((name) => {
    const id = `${interaction.id}-secret-${name}`;
    const input = element("input", { id, type: "password", autocomplete: "new-password" });
    input.required = wanted.has(name);
    form.append(element("label", { for: id }, words(name)), input);
    return [name, input];
  });
  return () => Object.fromEntries(
    inputs.filter(([, input]) => input.value).map(([name, input]) => [name, input.value]),
  );
}

// Pairs of a name and a secret; one more pair as soon as the last one is used.
function anyCredentials(form, interaction) {
  const place = element("div");
  const pairs = [];
  const add = () => {
    const at = pairs.length;
    const [nameId, valueId] = [`${interaction.id}-name-${at}`, `${interaction.id}-secret-${at}`];
    const name = element("input", { id: nameId, autocomplete: "off", spellcheck: "false" });
    const value = element("input", {
      id: valueId, type: "password", autocomplete: "new-password",
    });
    value.addEventListener("input", () => { if (pairs.at(-1).value === value) add(); });
    pairs.push({ name, value });
    place.append(element(
      "div", { class: "pair" },
      element("div", {}, element("label", { for: nameId }, `Credential ${at + 1}`), name),
      element("div", {}, element("label", { for: valueId }, `Secret ${at + 1}`), value),
    ));
  };
  add();
  form.append(place);
  return () => Object.fromEntries(
    pairs.filter(({ name, value }) => name.value && value.value)
      .map(({ name, value }) => [name.value.trim(), value.value]),
  );
}

function forgetSecrets(form) {
  for (const input of form.querySelectorAll("input[type=password]")) input.value = "";
}
