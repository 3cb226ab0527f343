//! From a core module, as a compiler makes it, to a component; and the world that a plugin is built for.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

use crate::wasm::{
    compiled::{export_name, import_name},
    manifest::Manifest,
};

/// `wit/plugin.wit`, as it is given to those who write plugins.
pub const PLUGIN_WIT: &str = include_str!("../../../../wit/plugin.wit");

/// The name of the world that a plugin is built for.
pub const WORLD: &str = "plugin";

/// Why a core module can't be made a component.
#[derive(Debug, thiserror::Error)]
#[error("the module can't be made a component: {0}")]
pub struct EncodeError(String);

/// The WIT of the world that a plugin is built for: it exports its hooks and imports its capabilities, nothing else.
pub fn world(manifest: &Manifest) -> String {
    let mut text = format!(
        "// Made of plugin.toml by `nanogridbot plugin build`.\npackage built:plugin;\n\nworld {WORLD} {{\n"
    );
    for capability in manifest.capabilities.0.keys() {
        writeln!(text, "    import {};", import_name(*capability)).ok();
    }
    for hook in &manifest.hooks {
        writeln!(text, "    export {};", export_name(*hook)).ok();
    }
    text + "}\n"
}

/// Makes the component that `module`, a core module built for [`world`], stands for.
///
/// # Errors
/// If the module does not fit the world.
pub fn encode(module: &[u8], manifest: &Manifest) -> Result<Vec<u8>, EncodeError> {
    let wrong = |err: &dyn std::fmt::Display| EncodeError(format!("{err:#}"));
    let mut resolve = Resolve::default();
    resolve.push_source("plugin.wit", PLUGIN_WIT).map_err(|err| wrong(&err))?;
    let package: PackageId =
        resolve.push_source("world.wit", &world(manifest)).map_err(|err| wrong(&err))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|err| wrong(&err))?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|err| wrong(&err))?;
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    encoder.and_then(|mut it| it.encode()).map_err(|err| wrong(&err))
}
