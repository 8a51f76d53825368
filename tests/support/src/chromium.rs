//! Chromium, controlled by `tests/e2e/browser.mjs`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{ROOT, has_node, skip};

const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser. Dropping it ends the process.
pub struct Chromium {
    /// The index of the tab that executes commands.
    tab: usize,
    process: Child,
    /// `None` after it was closed, which ends the process.
    commands: Option<ChildStdin>,
    results: BufReader<ChildStdout>,
}

impl Chromium {
    /// Starts a browser without cookies, or skips the test if it is not installed.
    pub fn start() -> Option<Self> {
        let scripts = Path::new(ROOT).join("tests/e2e");
        if !has_node("playwright-core") {
            return None;
        }
        if !Path::new(CHROMIUM).exists() {
            skip("chromium is not installed");
            return None;
        }
        let mut process = Command::new("node")
            .arg(scripts.join("browser.mjs"))
            .args([CHROMIUM, "app.test", "sibling.app.test", "evil.test"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take();
        let results = BufReader::new(process.stdout.take().unwrap());
        Some(Self { tab: 0, process, commands, results })
    }

    /// Selects the tab that executes the next commands. The first is tab 0. A tab is opened when it
    /// is first used.
    pub fn select(&mut self, tab: usize) {
        self.tab = tab;
    }

    /// Opens a URL, and returns the status of the response.
    pub fn open(&mut self, url: &str) -> u64 {
        self.run(json!({ "command": "open", "url": url })).as_u64().unwrap()
    }

    /// Loads the page again, and returns the status of the response.
    pub fn reload(&mut self) -> u64 {
        self.run(json!({ "command": "reload" })).as_u64().unwrap()
    }

    /// Types a text into an input.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.run(json!({ "command": "fill", "selector": selector, "text": text }));
    }

    pub fn click(&mut self, selector: &str) {
        self.run(json!({ "command": "click", "selector": selector }));
    }

    /// Waits until an element is visible.
    pub fn wait(&mut self, selector: &str) {
        self.run(json!({ "command": "wait", "selector": selector }));
    }

    /// Calls a function of JavaScript on the page, and returns its result.
    pub fn evaluate(&mut self, script: &str, argument: impl Into<Value>) -> Value {
        let argument = argument.into();
        self.run(json!({ "command": "evaluate", "script": script, "argument": argument }))
    }

    /// Like [`evaluate`](Self::evaluate), in the first `count` tabs at the same time.
    pub fn evaluate_in(&mut self, count: usize, script: &str) -> Vec<Value> {
        let tabs: Vec<_> = (0..count).collect();
        let command = json!({ "command": "evaluate", "tabs": tabs, "script": script });
        self.run(command).as_array().unwrap().clone()
    }

    /// Loads the pages of the first `count` tabs again at the same time.
    pub fn reload_all(&mut self, count: usize) {
        let tabs: Vec<_> = (0..count).collect();
        self.run(json!({ "command": "reload", "tabs": tabs }));
    }

    /// Returns all cookies of the browser.
    pub fn cookies(&mut self) -> Vec<Value> {
        self.run(json!({ "command": "cookies" })).as_array().unwrap().clone()
    }

    /// Returns the URL of the page.
    pub fn url(&mut self) -> String {
        self.evaluate("() => location.href", ()).as_str().unwrap().to_owned()
    }

    /// Waits until the page has this URL and is loaded.
    pub fn wait_for_url(&mut self, url: &str) {
        self.run(json!({ "command": "waitForUrl", "url": url }));
    }

    /// Closes all tabs, removes all cookies, and selects tab 0.
    pub fn reset(&mut self) {
        self.run(json!({ "command": "reset" }));
        self.tab = 0;
    }

    fn run(&mut self, mut command: Value) -> Value {
        command["tab"] = self.tab.into();
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.results.read_line(&mut line).unwrap();
        let mut result: Value = serde_json::from_str(&line).expect("the browser has ended");
        assert_eq!(result.get("error"), None, "{}", command["command"]);
        result["value"].take()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.wait();
    }
}
