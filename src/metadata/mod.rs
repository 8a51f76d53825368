//! Protected resource metadata (RFC 9728).

pub(crate) mod layer;
pub(crate) mod resource_metadata;

pub use self::{
    layer::ServeMetadata,
    resource_metadata::{ResourceMetadata, ResourceMetadataBuilder},
};
