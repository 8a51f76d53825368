//! OAuth 2.0 protected resource metadata (RFC 9728).
//!
//! [`ResourceMetadata`] builds the metadata document and serves it.

pub(crate) mod layer;
pub(crate) mod resource_metadata;

pub use self::{
    layer::ServeMetadata,
    resource_metadata::{ResourceMetadata, ResourceMetadataBuilder},
};
