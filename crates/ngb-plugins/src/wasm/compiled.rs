//! A component that was compiled and checked: it imports what it may, and exports what it says.

use std::collections::BTreeSet;

use wasmtime::component::Component;

use crate::wasm::{
    engine::WasmEngine,
    error::ComponentError,
    manifest::{Capabilities, Capability, Manifest, WIT_VERSION, WasmHook},
};

/// What the interfaces of `wit/plugin.wit` begin with.
const PACKAGE: &str = "nanogridbot:plugin/";

/// What is to be seen in a component without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub imports: BTreeSet<Capability>,
    pub exports: BTreeSet<WasmHook>,
}

impl Shape {
    /// Reads it from the component's own type.
    ///
    /// # Errors
    /// If it wants something that no plugin gets, or speaks another version of the package.
    pub fn of(engine: &WasmEngine, component: &Component) -> Result<Self, ComponentError> {
        let kind = component.component_type();
        let mut shape = Self::default();
        for (name, _) in kind.imports(&engine.inner) {
            let Some(interface) = interface(name)? else {
                return Err(ComponentError::Foreign(name.to_owned()));
            };
            // Records have no code behind them.
            if interface == "types" {
                continue;
            }
            let found = Capability::ALL.into_iter().find(|it| it.interface() == interface);
            shape.imports.insert(found.ok_or_else(|| ComponentError::Foreign(name.to_owned()))?);
        }
        // Exports that are none of ours are never called; some toolchains have some.
        for (name, _) in kind.exports(&engine.inner) {
            let Some(interface) = interface(name)? else { continue };
            shape.exports.extend(WasmHook::ALL.into_iter().find(|it| it.as_str() == interface));
        }
        Ok(shape)
    }

    /// Whether it is what its `plugin.toml` says.
    ///
    /// # Errors
    /// If it imports what is not declared, or lacks a hook that is.
    pub fn check(&self, manifest: &Manifest) -> Result<(), ComponentError> {
        let undeclared = self.imports.iter().find(|it| !manifest.capabilities.has(**it));
        if let Some(it) = undeclared {
            return Err(ComponentError::Undeclared(*it));
        }
        match manifest.hooks.iter().find(|it| !self.exports.contains(it)) {
            Some(it) => Err(ComponentError::NoExport(*it)),
            None => Ok(()),
        }
    }

    /// A manifest for a component that comes without one.
    ///
    /// # Errors
    /// If the name is none, or a capability must name what it is for.
    pub fn manifest(&self, name: &str) -> Result<Manifest, ComponentError> {
        crate::wasm::manifest::check_name(name)?;
        if let Some(it) = self.imports.iter().find(|it| it.is_scoped()) {
            return Err(ComponentError::Undeclared(*it));
        }
        Ok(Manifest {
            name: name.to_owned(),
            version: "0.0.0".to_owned(),
            description: String::new(),
            language: None,
            wit: WIT_VERSION.to_owned(),
            hooks: self.exports.iter().copied().collect(),
            capabilities: Capabilities(self.imports.iter().map(|it| (*it, Vec::new())).collect()),
            required: false,
            config: serde_json::Map::new(),
            config_schema: None,
        })
    }
}

/// The interface that `name` is of our package, if it is.
fn interface(name: &str) -> Result<Option<&str>, ComponentError> {
    let Some(rest) = name.strip_prefix(PACKAGE) else { return Ok(None) };
    match rest.split_once('@') {
        Some((interface, WIT_VERSION)) => Ok(Some(interface)),
        _ => Err(ComponentError::Version(name.to_owned())),
    }
}

/// The full name of a hook's interface.
pub(super) fn export_name(hook: WasmHook) -> String {
    format!("{PACKAGE}{}@{WIT_VERSION}", hook.as_str())
}

/// The full name of a capability's interface.
pub(super) fn import_name(capability: Capability) -> String {
    format!("{PACKAGE}{}@{WIT_VERSION}", capability.interface())
}
