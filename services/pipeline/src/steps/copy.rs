//! `copy`: the asset as it is, under the same path in the same session of another dataset. No parameters. The store copies by itself.

pub(super) const NAME: &str = "copy";
