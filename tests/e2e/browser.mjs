// Controls Chromium for the tests of the examples `browser`, `login` and `oidc_login`. Reads one command in JSON per
// line, and prints its result as a line of JSON. It exits when its standard input ends, so that a
// killed test leaves no browser behind.
//
// `tab` is the index of the tab that executes a command. Tabs are opened when they are first used. With
// `tabs`, a list of indexes, the tabs execute the command at the same time, and the result is a list.
//
// Arguments: the path of Chromium, and the names that resolve to 127.0.0.1.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, ...names] = process.argv.slice(2);
const rules = names.map((name) => `MAP ${name} 127.0.0.1`).join(", ");

// A profile that allows third-party cookies: the default depends on the build of Chromium.
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
mkdirSync(join(profile, "Default"));
const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
writeFileSync(join(profile, "Default/Preferences"), JSON.stringify(preferences));

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  ignoreHTTPSErrors: true,
  args: ["--no-sandbox", "--no-proxy-server", `--host-resolver-rules=${rules}`],
});
const pages = [];

const commands = {
  open: async (page, { url }) => (await page.goto(url)).status(),
  reload: async (page) => (await page.reload()).status(),
  fill: (page, { selector, text }) => page.fill(selector, text),
  click: (page, { selector }) => page.click(selector),
  wait: async (page, { selector }) => void (await page.waitForSelector(selector)),
  evaluate: (page, { script, argument }) => page.evaluate(`(${script})(${JSON.stringify(argument)})`),
  cookies: () => context.cookies(),
  waitForUrl: (page, { url }) => page.waitForURL(({ href }) => href === url),
  reset: async () => {
    await Promise.all(pages.splice(0).map((page) => page?.close()));
    await context.clearCookies();
  },
};

async function run({ command, tab, tabs, ...options }) {
  if (tabs) return Promise.all(tabs.map((tab) => run({ command, tab, ...options })));
  const page = (pages[tab] ??= await context.newPage());
  return (await commands[command](page, options)) ?? null;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: await run(JSON.parse(line)) };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}
await context.close();
rmSync(profile, { recursive: true, force: true });
