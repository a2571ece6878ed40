//! Compiles the protocol files in process: no system `protoc` is needed.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const PUBLIC: [&str; 4] =
    ["eagre/v1/topics.proto", "eagre/v1/records.proto", "eagre/v1/produce.proto", "eagre/v1/fetch.proto"];
const INTERNAL: &str = "eagre/internal/v1/sequencer.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // What a client may ask a running service for, comments included.
    fs::write(out.join("eagre.v1.bin"), protox::compile(PUBLIC, [&root])?.encode_to_vec())?;
    let descriptors = protox::compile(PUBLIC.into_iter().chain([INTERNAL]), [&root])?;
    fs::write(out.join("shapes.rs"), shapes(&descriptors)?)?;
    tonic_prost_build::configure().bytes(".").codec_path("crate::codec::SmallBuffers").compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed=eagre");
    Ok(())
}

/// What `src/walk.rs` knows of the messages and of the methods, as Rust.
fn shapes(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    let mut methods = String::new();
    let (mut messages, mut wanted) = (BTreeMap::new(), Vec::new());
    for file in &descriptors.file {
        let package = file.package();
        messages.extend(file.message_type.iter().map(|message| (format!(".{package}.{}", message.name()), message)));
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{package}.{}/{}", service.name(), method.name());
                let (request, streams) = (constant(method.input_type()), method.client_streaming());
                writeln!(methods, "        {path:?} => Method {{ request: &{request}, streams: {streams} }},")?;
                wanted.push(method.input_type().to_owned());
            }
        }
    }
    // Those that requests are made of.
    while let Some(name) = wanted.pop() {
        if let Some(message) = messages.remove(&name) {
            shape(&mut code, &name, message)?;
            wanted.extend(message.field.iter().map(|field| field.type_name().to_owned()));
        }
    }
    writeln!(code, "fn method_at(path: &str) -> Option<Method> {{\n    Some(match path {{")?;
    writeln!(code, "{methods}        _ => return None,\n    }})\n}}")?;
    Ok(code)
}

fn shape(code: &mut String, name: &str, message: &DescriptorProto) -> Result<(), Box<dyn Error>> {
    if !message.nested_type.is_empty() {
        return Err(format!("{}: nested messages and maps have no shape yet", message.name()).into());
    }
    writeln!(code, "static {}: Shape = Shape(&[", constant(name))?;
    for field in &message.field {
        if let Some(kind) = kind(field)? {
            writeln!(code, "    ({}, {kind}),", field.number())?;
        }
    }
    writeln!(code, "]);")?;
    Ok(())
}

/// `None`: it takes no memory beside that of its message.
fn kind(field: &FieldDescriptorProto) -> Result<Option<String>, Box<dyn Error>> {
    let repeated = field.label() == Label::Repeated;
    Ok(match field.r#type() {
        Type::Message if repeated => {
            let item = format!("size_of::<{}>()", rust_type(field.type_name()));
            Some(format!("Kind::Messages {{ shape: &{}, item_bytes: {item} }}", constant(field.type_name())))
        }
        Type::Message => Some(format!("Kind::Message(&{})", constant(field.type_name()))),
        Type::String | Type::Bytes | Type::Group if repeated => {
            return Err(format!("{}: a repeated field of this type has no shape yet", field.name()).into());
        }
        Type::String => Some("Kind::Text".into()),
        _ if repeated => Some("Kind::Numbers".into()),
        _ => None,
    })
}

/// `.eagre.v1.Record` is `EAGRE_V1_RECORD`.
fn constant(full_name: &str) -> String {
    full_name.trim_start_matches('.').replace('.', "_").to_uppercase()
}

/// `.eagre.v1.Record` is `crate::v1::Record`.
fn rust_type(full_name: &str) -> String {
    full_name.replace(".eagre.", "crate::").replace('.', "::")
}
