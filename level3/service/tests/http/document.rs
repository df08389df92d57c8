//! The OpenAPI document, and the documentation.

use std::collections::BTreeSet;

use gateway_service::{ProblemKind, ROUTES, document};

/// A reader that is not ours understands the document, and finds what every reference names.
#[test]
fn another_reader_understands_it() {
    let text = document().to_string();
    let spec = oas3::from_json(&text).unwrap();
    spec.validate_version().unwrap();
    let mut operations = 0;
    for (path, method, operation) in spec.operations() {
        operations += 1;
        assert!(operation.operation_id.is_some(), "{method} {path}");
        for parameter in operation.parameters(&spec).unwrap() {
            assert!(!parameter.name.is_empty());
        }
        for (status, response) in operation.responses(&spec) {
            for media in response.content.values() {
                media.schema(&spec).unwrap_or_else(|why| panic!("{path} {status}: {why}"));
            }
        }
    }
    assert_eq!(operations, ROUTES.len());
    let components = spec.components.as_ref().unwrap();
    for (name, schema) in &components.schemas {
        schema.resolve(&spec).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn it_has_every_route_and_no_other() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let found: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str()))
        })
        .collect();
    assert_eq!(found, ROUTES.iter().copied().collect());
}

#[test]
fn it_has_every_problem() {
    let document = document();
    let paths = document["paths"].to_string();
    let listed = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].clone();
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for kind in ProblemKind::ALL {
        assert!(listed.contains(&kind.type_uri().as_str()));
        // 405 is the answer of paths to methods that they do not have.
        let is_used = paths.contains(&format!("`{}`", kind.type_uri()));
        assert!(is_used || *kind == ProblemKind::MethodNotAllowed, "{kind:?} is no answer");
    }
}

/// The table of problems in the README is that of the code.
#[test]
fn the_readme_has_every_problem() {
    // Tests run in the folder of their package.
    let text = std::fs::read_to_string("README.md").unwrap();
    let (_, after) = text.split_once("<!-- problems: begin -->\n").unwrap();
    let (table, _) = after.split_once("<!-- problems: end -->").unwrap();
    let expected = format!("\n{}\n", ProblemKind::table());
    assert!(table == expected, "the table has to be:\n{expected}");
}

/// The README names every endpoint and every state, and no other.
#[test]
fn the_readme_has_every_endpoint() {
    // Tests run in the folder of their package.
    let text = std::fs::read_to_string("README.md").unwrap();
    let (_, endpoints) = text.split_once("## Endpoints\n").unwrap();
    for (method, path) in ROUTES {
        let name = format!("`{} {path}`", method.to_uppercase());
        assert!(endpoints.contains(&name), "{name}");
    }
    for state in gateway_service::State::ALL {
        assert!(endpoints.contains(&format!("| `{}` |", state.name())), "{state:?}");
    }
    for scope in gateway_service::Scope::ALL {
        assert!(endpoints.contains(&format!("`{}`", scope.name())), "{scope:?}");
    }
}
