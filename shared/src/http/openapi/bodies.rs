//! Request bodies that may be left out: an empty one reads as `{}`.

use super::examples::operations;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::{Components, OpenApi, RefOr, Required, Schema};

/// Bodies of which each member may be missing, but not all of them.
const NEED_ONE_MEMBER: [&str; 2] = ["HoldInput", "SignIn"];

/// Marks each request body that needs no member as optional.
pub(super) fn make_optional(document: &mut OpenApi) {
    let components = document.components.clone().unwrap_or_default();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && schemas(body).all(|schema| needs_no_member(&components, schema))
        {
            body.required = Some(Required::False);
        }
    }
}

fn schemas(body: &RequestBody) -> impl Iterator<Item = &RefOr<Schema>> {
    body.content.values().filter_map(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    })
}

/// Returns whether `{}` fits a schema. Bodies whose members are not described have some.
fn needs_no_member(components: &Components, schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.required.is_empty() && object.additional_properties.is_some()
        }
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next();
            let name = name.filter(|name| !NEED_ONE_MEMBER.contains(name));
            let named = name.and_then(|name| components.schemas.get(name));
            named.is_some_and(|schema| needs_no_member(components, schema))
        }
        RefOr::T(_) => false,
    }
}
