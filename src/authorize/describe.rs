use std::fmt;

use super::policy::Policy;

/// A line of a list of routes. What a policy says of itself may not make two of it.
pub(crate) fn list_route(
    path: &str,
    policy: &(dyn Policy + Send + Sync),
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{path}  ")?;
    for character in policy.to_string().chars() {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            write!(f, "{character}")?;
        }
    }
    writeln!(f)
}

/// Writes items with commas between them.
pub(crate) fn list<I>(items: I, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    I: IntoIterator,
    I::Item: fmt::Display,
{
    for (position, item) in items.into_iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// Makes a policy of this crate a layer, and shows it as it describes itself.
macro_rules! policy_layer {
    ($policy:ty $(, $parameter:ident)*) => {
        impl<S $(, $parameter: Clone)*> tower_layer::Layer<S> for $policy {
            type Service = crate::authorize::Authorize<S, Self>;

            fn layer(&self, inner: S) -> Self::Service {
                crate::authorize::AuthorizeLayer::new(self.clone()).layer(inner)
            }
        }

        impl<$($parameter: crate::Policy),*> std::fmt::Display for $policy {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::Policy::describe(self, f)
            }
        }

        impl<$($parameter: crate::Policy),*> std::fmt::Debug for $policy {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "Policy({self})")
            }
        }
    };
}
pub(crate) use policy_layer;
