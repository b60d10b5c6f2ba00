//! Fields: defined, said anew, retired.

use model::{FieldDefinition, FieldStep};
use rusqlite::params;

use super::Applier;
use crate::fields::{self, FIELDS_MAX, FieldError, OwnField};
use crate::outcome::{Refusal, Verdict};

impl Applier<'_> {
    /// Changes what fields there are. No file has a say in it, so that it comes out the same where some are forgotten.
    pub(super) fn field_step(&mut self, step: &FieldStep) -> rusqlite::Result<Verdict> {
        match step {
            FieldStep::Define { name, definition } => self.define_field(name, definition),
            FieldStep::Retire { name } => self.retire_field(name),
        }
    }

    fn define_field(
        &mut self,
        name: &str,
        definition: &FieldDefinition,
    ) -> rusqlite::Result<Verdict> {
        if let Err(error) = fields::check_definition(definition) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let library = &self.command.library;
        let known = fields::named(self.db, library, name)?;
        if name != definition.name {
            if fields::named(self.db, library, &definition.name)?.is_some() {
                let detail = format!("there is a field {} already", definition.name);
                return Ok(Verdict::refused(Refusal::FieldExists, detail));
            }
            if known.is_none() {
                return Ok(unknown(name));
            }
        }
        let number = match &known {
            Some(known) => {
                let old = &known.definition;
                if (old.kind, old.list) != (definition.kind, definition.list) {
                    let detail = format!("the type of {name} stays; make a field of another name");
                    return Ok(Verdict::refused(Refusal::FieldExists, detail));
                }
                known.number
            }
            None => match self.next_field()? {
                number if number <= FIELDS_MAX => number,
                _ => {
                    let detail = format!("a library has at most {FIELDS_MAX} fields");
                    return Ok(Verdict::refused(Refusal::InvalidMetadata, detail));
                }
            },
        };
        let field = OwnField {
            number,
            definition: definition.clone(),
            retired: false,
        };
        fields::put(self.db, library, &field)?;
        let new = known.is_none();
        Ok(Verdict::FieldDefined { field, new })
    }

    fn retire_field(&mut self, name: &str) -> rusqlite::Result<Verdict> {
        let library = &self.command.library;
        let known = fields::named(self.db, library, name)?;
        let Some(known) = known.filter(|known| !known.retired) else {
            return Ok(unknown(name));
        };
        let field = OwnField {
            retired: true,
            ..known
        };
        fields::put(self.db, library, &field)?;
        Ok(Verdict::FieldRetired)
    }

    fn next_field(&self) -> rusqlite::Result<u32> {
        self.db
            .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM fields WHERE library = ?1")?
            .query_row(params![self.command.library.as_str()], |row| row.get(0))
    }

    /// Whether the values of own fields in these changes may be, by the definitions of now.
    pub(super) fn check_fields(
        &self,
        changes: &[model::file::Change],
    ) -> rusqlite::Result<Result<(), FieldError>> {
        for change in changes {
            if let model::file::Change::Field { field, values } = change {
                let known = fields::numbered(self.db, &self.command.library, *field)?;
                let checked = match known {
                    Some(known) => fields::check_values(&known, values),
                    None => Err(FieldError::Unknown(field.to_string())),
                };
                if checked.is_err() {
                    return Ok(checked);
                }
            }
        }
        Ok(Ok(()))
    }
}

fn unknown(name: &str) -> Verdict {
    let error = FieldError::Unknown(name.to_owned());
    Verdict::refused(Refusal::FieldNotFound, error)
}
