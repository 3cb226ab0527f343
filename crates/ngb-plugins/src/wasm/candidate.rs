//! A package on its way to be installed: compiled, and held against what it says of itself.

use wasmtime::component::Component;

use crate::wasm::{
    cache::Cache,
    compiled::Shape,
    engine::WasmEngine,
    error::ComponentError,
    guest::Limits,
    manifest::{Capabilities, Manifest, ManifestError},
    package::Package,
    running::Program,
    services::silent,
};

/// A plugin that was compiled and is not installed.
pub struct Candidate {
    pub manifest: Manifest,
    /// What goes to its `plugin.toml`.
    pub text: String,
    pub package: Package,
    engine: WasmEngine,
    component: Component,
}

impl Candidate {
    /// Compiles `package`; one that comes without a manifest is called `name`, and declares what it imports.
    ///
    /// # Errors
    /// If it is no component, or is not what its manifest says.
    pub async fn compile(
        engine: &WasmEngine,
        cache: &Cache,
        package: Package,
        name: &str,
    ) -> Result<Self, ComponentError> {
        let component = cache.load_bytes_aside(engine, package.component.clone()).await?.component;
        let shape = Shape::of(engine, &component)?;
        let (manifest, text) = match &package.manifest {
            Some(it) => it.clone(),
            None => {
                let manifest = shape.manifest(name)?;
                let text = toml::to_string(&manifest)
                    .map_err(|err| ManifestError::Unreadable(err.to_string()))?;
                (manifest, text)
            }
        };
        shape.check(&manifest)?;
        Ok(Self { manifest, text, package, engine: engine.clone(), component })
    }

    /// What runs, with these grants.
    ///
    /// # Errors
    /// If its imports have another shape than the package's.
    pub fn program(
        &self,
        granted: Capabilities,
        limits: Limits,
    ) -> Result<Program, ComponentError> {
        Program::new(&self.engine, &self.component, &self.manifest, granted, limits)
    }

    /// Starts it once, with nobody to talk to.
    ///
    /// # Errors
    /// If it does not start, or exports something in another shape than the package's.
    pub async fn check(&self, granted: Capabilities) -> Result<(), ComponentError> {
        self.program(granted, Limits::default())?.start(silent()).await.map(drop)
    }
}
