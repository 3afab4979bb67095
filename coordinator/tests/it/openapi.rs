//! `docs/openapi.json`: made from the types that are sent, and held against what the program answers.

use crate::permits::serves;
use crate::program::Stand;
use crate::support::voice::Voice;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use std::path::Path;
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::report::{Directives, Report};

/// One verb: what it does, the keys of its body, and those of them that tests try.
struct Verb {
    name: &'static str,
    what: &'static str,
    keys: &'static [&'static str],
}

const FLEET: &[Verb] = &[
    Verb { name: "pause", what: "Begin nothing by plan, until it is taken back or for so long", keys: &["reason", "for_ms"] },
    Verb { name: "resume", what: "The end of a pause", keys: &["reason"] },
    Verb {
        name: "roll",
        what: "Restart every server of a backend once, by plan; GET /v1/fleet tells how far it is",
        keys: &["reason", "backend", "max_unavailable", "soak_ms"],
    },
    Verb { name: "end-roll", what: "Nothing more of a roll begins; what is under way comes to its end", keys: &["reason"] },
];
const SERVER: &[Verb] = &[
    Verb { name: "drain", what: "Out of rotation, whatever its agent says, until it is taken back", keys: &["reason"] },
    Verb { name: "undrain", what: "The end of a drain: back in as soon as it is fit", keys: &["reason"] },
];

/// The document, with what it says of each type taken from the type.
fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    settings.transforms.push(Box::new(RecursiveTransform(for_strangers)));
    let mut types = settings.into_generator();
    let mut node = parameter("node", "The node's name, the same as in the report");
    node["schema"]["pattern"] = json!("^[A-Za-z0-9._-]{1,253}$");
    let mut paths = json!({
        "/v1/fleet": { "get": {
            "operationId": "fleet",
            "summary": "Everything that the coordinator knows",
            "responses": responses::<FleetStatus>(&mut types, "The fleet, as it is now"),
        } },
        "/v1/nodes/{node}/report": { "put": {
            "operationId": "report",
            "summary": "What an agent says of its services, and what follows from it. For agents alone: the certificate has to be the node's",
            "parameters": [node],
            "requestBody": body::<Report>(&mut types),
            "responses": responses::<Directives>(&mut types, "What the balancer does with each service"),
        } },
    });
    for (path, verbs) in [("/v1/fleet/", FLEET), ("/v1/servers/{name}/", SERVER)] {
        for Verb { name, what, keys: keys_of } in verbs {
            let keys: Vec<String> = keys_of.iter().map(|key| format!("`{key}`")).collect();
            let mut operation = json!({
                "operationId": name,
                "summary": what,
                "description": format!("The body may have {}; another key is refused. The answer comes after HAProxy has confirmed what follows.", keys.join(", ")),
                "requestBody": { "required": false, "content": { "application/json": { "schema": ask(keys_of) } } },
                "responses": responses::<Accepted>(&mut types, "It is done, or begun; what, in a sentence for people"),
            });
            if path.contains("{name}") {
                operation["parameters"] = json!([parameter("name", "A node, a server, or BACKEND%2FSERVER")]);
            }
            paths[format!("{path}{name}")] = json!({ "post": operation });
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Warden coordinator",
            "version": "1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "What operators ask of the coordinator: over its Unix socket on the balancer, or over TLS 1.3 where agents report, under an operator's certificate. Readers ignore fields that they do not know, and take an unknown word for the one that changes least (docs/protocol.md).",
        },
        "servers": [
            { "url": "https://balancer:7443", "description": "From any machine: a client certificate is asked for" },
            { "url": "http://coordinator", "description": "On the balancer: curl --unix-socket /run/warden/coordinator.sock http://coordinator/v1/fleet" },
        ],
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": types.take_definitions(true),
            "securitySchemes": { "certificate": { "type": "mutualTLS", "description": "Over TLS; the Unix socket goes by who asks" } },
        },
    })
}

/// What a verb takes of an [`Ask`], within which bounds. Another key is refused, so the document says it has none.
fn ask(keys: &[&str]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.transforms.push(Box::new(RecursiveTransform(for_strangers)));
    let whole = settings.into_generator().into_root_schema_for::<Ask>().to_value();
    let bounded = |key: &str| {
        let mut schema = whole["properties"][key].clone();
        let bounds = match key {
            "for_ms" => json!({ "minimum": 1, "maximum": 30 * 86_400_000_u64 }),
            "max_unavailable" => json!({ "minimum": 1 }),
            "soak_ms" => json!({ "maximum": 86_400_000 }),
            _ => json!({}),
        };
        schema.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        (key.to_owned(), schema)
    };
    let properties: serde_json::Map<String, Value> = keys.iter().map(|key| bounded(key)).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// Lines are broken where they are shown, and Rust's numbers are no formats of the standard.
fn for_strangers(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    let largest = match schema.get("format").and_then(Value::as_str) {
        Some("uint64") => json!(u64::MAX),
        Some("uint32") => json!(u32::MAX),
        Some("uint16") => json!(u16::MAX),
        Some(format) if format.starts_with("uint") => panic!("the largest {format}?"),
        _ => return,
    };
    schema.remove("format");
    schema.insert("maximum".to_owned(), largest);
}

fn parameter(name: &str, what: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": what, "schema": { "type": "string" } })
}

fn body<T: JsonSchema>(types: &mut SchemaGenerator) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": types.subschema_for::<T>() } } })
}

fn responses<T: JsonSchema>(types: &mut SchemaGenerator, what: &str) -> Value {
    let content = |schema: Schema| json!({ "application/json": { "schema": schema } });
    json!({
        "200": { "description": what, "content": content(types.subschema_for::<T>()) },
        "default": { "description": "Why not, and what to do; the status follows from `code`", "content": content(types.subschema_for::<ErrorBody>()) },
    })
}

#[test]
fn the_page_is_what_the_types_say_and_strangers_can_read_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let wanted = format!("{:#}\n", document());
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    // Their order is not always the same.
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    assert!(
        parsed(&is) == parsed(&wanted),
        "docs/openapi.json is not what the types say; WRITE_DOCS=1 cargo nextest run -p warden-coordinator openapi writes it"
    );
    let read = oas3::from_json(&is).unwrap();
    assert_eq!(read.operations().count(), 2 + FLEET.len() + SERVER.len());
    assert!(read.components.is_some_and(|components| components.schemas.contains_key("FleetStatus")));
}

/// Whether an answer is what the document says of it.
fn holds(document: &Value, path: &str, method: &str, status: u16, answer: &Value) {
    let responses = &document["paths"][path][method]["responses"];
    let response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
    let mut schema = response["content"]["application/json"]["schema"].clone();
    assert!(schema.is_object(), "{method} {path} has no answer of status {status}");
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{method} {path} answers {answer:#} and\n{}", faults.join("\n"));
}

/// Every operation is asked for, with what it takes and with what it does not, on the real program with a real HAProxy behind it.
#[tokio::test]
async fn every_answer_is_as_described() {
    let document = document();
    let stand = Stand::start().await;
    let mut one = Voice::of("n1");
    let report = serves(&mut one, "1", 900_000);
    let directives = stand.say(report).await;
    holds(&document, "/v1/nodes/{node}/report", "put", 200, &serde_json::to_value(directives).unwrap());
    holds(&document, "/v1/fleet", "get", 200, &serde_json::to_value(stand.fleet().await).unwrap());

    let good = |key: &str| match key {
        "reason" => json!("a test"),
        "for_ms" => json!(60_000),
        "backend" => json!("app"),
        "max_unavailable" => json!(1),
        "soak_ms" => json!(0),
        key => panic!("no value for {key}"),
    };
    let all = ["reason", "for_ms", "backend", "max_unavailable", "soak_ms"];
    for (path, verbs) in [("/v1/fleet/", FLEET), ("/v1/servers/{name}/", SERVER)] {
        for Verb { name, keys, .. } in verbs {
            let uri = format!("{}{name}", path.replace("{name}", "app%2Fn1"));
            let ask: Value = keys.iter().map(|key| ((*key).to_owned(), good(key))).collect::<serde_json::Map<_, _>>().into();
            let (status, answer) = stand.answer(&uri, &ask.to_string()).await;
            assert_eq!(status, 200, "{uri} {ask}: {answer}");
            holds(&document, &format!("{path}{name}"), "post", status, &answer);
            for key in all.iter().filter(|key| !keys.contains(key)) {
                let (status, answer) = stand.answer(&uri, &json!({ *key: good(key) }).to_string()).await;
                assert_eq!((status, answer["code"].as_str()), (400, Some("bad_request")), "{uri} takes {key}");
                holds(&document, &format!("{path}{name}"), "post", status, &answer);
            }
        }
        // What there is beside them, the program says itself.
        let (_, answer) = stand.answer(&format!("{}nonsense", path.replace("{name}", "n1")), "{}").await;
        let error: ErrorBody = serde_json::from_value(answer).unwrap();
        let known = error.message.split("; it takes ").nth(1).unwrap().replace(" and ", ", ");
        let mut described: Vec<&str> = verbs.iter().map(|verb| verb.name).collect();
        let mut known: Vec<&str> = known.split(", ").collect();
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!((error.code, described), (ErrorCode::NotFound, known));
    }
    // With everything in it that operators want.
    holds(&document, "/v1/fleet", "get", 200, &serde_json::to_value(stand.fleet().await).unwrap());
}
