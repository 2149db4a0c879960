//! The macro that declares a table of the file.

/// Declares a table with its keys.
///
/// Each key is declared once: `/// meaning`, `pub name: Type = form(type of its values, default)`.
/// This generates the field, the code that reads the key, its JSON Schema and its row in the
/// reference. Forms are methods of [`Table`](super::read::Table). Those with the prefix `required`
/// may make the table unreadable. There are two more forms:
///
/// - `computed(expression)`: computed from other keys or arguments; earlier fields are in scope.
/// - `required_computed(expression)`: the same for an `Option`; `None` makes the table unreadable.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $of_struct:vis struct $name:ident {
            fn read($table:ident $(, $given:ident: $given_type:ty)*) -> $returns:ident $(<$of:ident>)?;

            $(
                $(#[doc = $key_doc:literal])*
                $of_field:vis $field:ident: $type:ty = $form:ident($($argument:expr),* $(,)?),
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $of_struct struct $name {
            $($(#[doc = $key_doc])* $of_field $field: $type,)*
        }

        impl $name {
            pub(in crate::config) fn read(
                $table: &mut crate::config::read::Table<'_>
                $(, $given: $given_type)*
            ) -> $returns $(<$of>)? {
                $table.document(concat!($($doc),*));
                $(let $field = $crate::config::declare::table!(
                    @read $table, stringify!($field), concat!($($key_doc),*),
                    $form($($argument),*)
                );)*
                // All keys were read before, so an unreadable one hides no fault of the others.
                $crate::config::declare::table!(@value $returns Self {
                    $($field: $crate::config::declare::table!(@field $form $field),)*
                })
            }
        }
    };
    (@value Self $value:expr) => { $value };
    (@value Option $value:expr) => { Some($value) };
    (@read $table:ident, $name:expr, $doc:expr, computed($value:expr)) => { $value };
    (@read $table:ident, $name:expr, $doc:expr, required_computed($value:expr)) => { $value };
    (@read $table:ident, $name:expr, $doc:expr, $form:ident($($argument:expr),*)) => {
        $table.$form($crate::config::reference::key($name, $doc), $($argument),*)
    };
    (@field required $field:ident) => { $field? };
    (@field required_value $field:ident) => { $field? };
    (@field required_list $field:ident) => { $field? };
    (@field required_secret $field:ident) => { $field? };
    (@field required_computed $field:ident) => { $field? };
    (@field $form:ident $field:ident) => { $field };
}

pub(super) use table;
