//! OAuth 2.0 protected resource metadata (RFC 9728).
//!
//! [`ResourceMetadata`] builds the metadata document and serves it.

pub(crate) mod custom_members;
pub(crate) mod layer;
pub(crate) mod public_document;
pub(crate) mod resource_metadata;

// Documented at the crate root.
#[doc(no_inline)]
pub use self::resource_metadata::ResourceMetadata;
pub use self::{
    layer::{ServeMetadata, ServeMetadataFuture},
    resource_metadata::ResourceMetadataBuilder,
};
