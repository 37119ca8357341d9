//! From a kernel's description to validated WGSL.

use std::sync::OnceLock;

use minijinja::{Environment, UndefinedBehavior};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};

use crate::config_error::ConfigError;
use crate::kernel::{Extensions, Kernel, PLAIN_LANES};
use crate::source::{Access, Binding, Source};
use crate::storage::Words;
use crate::templates::TEMPLATES;

/// Why a kernel could not be expanded. All but [`ExpandError::Config`] are defects of a template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// The description's numbers are not possible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The template engine stopped.
    #[error("kernel {kernel}: the template does not expand: {message}")]
    Template {
        /// Name of the variant.
        kernel: String,
        /// What the engine says.
        message: String,
    },
    /// naga does not accept the expanded text.
    #[error("kernel {kernel}: the expanded WGSL is not valid: {message}")]
    Invalid {
        /// Name of the variant.
        kernel: String,
        /// What naga says, with the place in the text.
        message: String,
    },
}

/// [`expand_in`] words of 32 bits, which every WebGPU implementation compiles.
///
/// # Errors
/// As [`expand_in`].
pub fn expand<K: Kernel>(kernel: &K) -> Result<Source, ExpandError> {
    expand_in(kernel, Words::Bits32)
}

/// Expands, parses and validates one kernel, whose vectors of elements move in `words`. Its bindings and sizes are read back from the parsed module.
///
/// Where no vector of the text can move in 64 bits, and in kernels that have [`Kernel::extensions`] of their own (cooperative matrices), words
/// have 32 all the same: the source's extensions are [`Extensions::Int64`] only where there are wider ones.
///
/// # Errors
/// [`ExpandError::Config`] for numbers that the template cannot hold; the other variants are defects of a template.
pub fn expand_in<K: Kernel>(kernel: &K, words: Words) -> Result<Source, ExpandError> {
    kernel.check()?;
    let mut name = kernel.name();
    // What kernels with extensions of their own move are mostly matrices.
    let words = match kernel.extensions() {
        Extensions::None => words,
        _ => Words::Bits32,
    };
    let body = render(kernel, words).map_err(|error| ExpandError::Template {
        kernel: name.clone(),
        message: format!("{error:#}"),
    })?;
    let mut extensions = kernel.extensions();
    if words == Words::Bits64 && body.contains("u64") {
        extensions = Extensions::Int64;
        name.push_str("_u64");
    }
    let wgsl = format!("{}{body}", extensions.enable());
    let invalid = |message| ExpandError::Invalid {
        kernel: name.clone(),
        message,
    };
    let (parsed, mut validator) = naga_for(extensions);
    let module = naga::front::wgsl::Frontend::new_with_options(parsed)
        .parse(&wgsl)
        .map_err(|e| invalid(e.emit_to_string(&wgsl)))?;
    validator
        .validate(&module)
        .map_err(|e| invalid(e.emit_to_string(&wgsl)))?;
    let entry = module
        .entry_points
        .first()
        .ok_or_else(|| invalid("there is no entry point".to_owned()))?;
    Ok(Source {
        workgroup_size: entry.workgroup_size[0],
        bindings: bindings(&module),
        workgroup_bytes: workgroup_bytes(&module),
        extensions,
        name,
        wgsl,
    })
}

/// naga, set up for texts with these extensions: options of its reader, and its validator.
pub fn naga_for(extensions: Extensions) -> (naga::front::wgsl::Options, Validator) {
    // Packing halves into words, which WebGPU has everywhere.
    let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let capabilities = match extensions {
        Extensions::None => core,
        Extensions::Int64 => core | Capabilities::SHADER_INT64,
        Extensions::CooperativeMatrix => {
            core | Capabilities::SHADER_FLOAT16
                | Capabilities::COOPERATIVE_MATRIX
                | Capabilities::SUBGROUP
        }
    };
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    if extensions == Extensions::CooperativeMatrix {
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    }
    (options, validator)
}

fn render<K: Kernel>(kernel: &K, words: Words) -> Result<String, minijinja::Error> {
    static ENVIRONMENTS: [OnceLock<Environment<'static>>; 2] = [OnceLock::new(), OnceLock::new()];
    let slot = &ENVIRONMENTS[words as usize];
    let environment = match slot.get() {
        Some(environment) => environment,
        None => {
            let environment = environment(words)?;
            slot.get_or_init(|| environment)
        }
    };
    environment
        .get_template(kernel.template())?
        .render(minijinja::value::Serde(kernel))
}

/// The templates. `word_bits` and `plain_lanes` are known to all of them, macros included.
fn environment(words: Words) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_global("word_bits", words.bits());
    environment.add_global("plain_lanes", PLAIN_LANES);
    for (file, text) in TEMPLATES {
        environment.add_template(file, text)?;
    }
    Ok(environment)
}

fn bindings(module: &naga::Module) -> Vec<Binding> {
    let mut bindings: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let access = match variable.space {
                AddressSpace::Uniform => Access::Uniform,
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                    Access::ReadWrite
                }
                AddressSpace::Storage { .. } => Access::Read,
                _ => return None,
            };
            let index = variable.binding.as_ref()?.binding;
            Some(Binding {
                index,
                name: variable.name.clone()?,
                access,
            })
        })
        .collect();
    bindings.sort_by_key(|binding| binding.index);
    bindings
}

fn workgroup_bytes(module: &naga::Module) -> u32 {
    module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
        .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
        .sum()
}
