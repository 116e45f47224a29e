"""Kingdee K/3 Cloud (金蝶云星空) as a stand-in: login, sessions, bill queries as arrays, metadata."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from tests.standins.server import Answer, Request, StandIn

ACCOUNT_SET, USER, PASSWORD = "64f1acct", "integration", "kd-password-77"
APP_ID, APP_SECRET = "kd_app", "kd-secret-99"
SESSION_SECONDS = 1200
PREFIX = "/k3cloud/Kingdee.BOS.WebApi.ServicesStub."
CURRENCIES = {"PRE001": "CNY", "PRE003": "EUR", "PRE007": "USD"}

# Forms that tell what of a document is settled, and the field of its whole amount.
SETTLED_FORMS = {
    "AR_receivable": "FALLAMOUNTFOR",
    "AR_OtherRecAble": "FAMOUNTFOR",
    "AR_RECEIVEBILL": "",
    "AR_REFUNDBILL": "FREFUNDAMOUNTFOR",
}

Record = dict[str, Any]

# Form -> (key of a row, entity -> fields with their labels). FBillHead is the header; others have entry rows.
FORMS: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "BD_Customer": (
        "FCUSTID",
        {
            "FBillHead": {
                "FNumber": "客户编码", "FName": "客户名称", "FForbidStatus": "禁用状态",
                "FDocumentStatus": "数据状态", "FCreateDate": "创建日期", "FModifyDate": "修改日期",
                "FCustTypeId": "客户类别", "FSELLER": "销售员", "FUseOrgId": "使用组织",
            }
        },
    ),
    "AR_receivable": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "单据编号", "FDATE": "业务日期", "FENDDATE_H": "到期日", "FCUSTOMERID": "客户",
                "FCURRENCYID": "币别", "FALLAMOUNTFOR": "价税合计", "FNOTAXAMOUNTFOR": "不含税金额",
                "FEXCHANGERATE": "汇率", "FDocumentStatus": "单据状态", "FCancelStatus": "作废状态",
                "FWRITTENOFFSTATUS": "核销状态", "FRELATEHADPAYAMOUNT": "已核销金额", "FISINIT": "期初单据",
                "FCREATEDATE": "创建日期", "FMODIFYDATE": "修改日期", "FAPPROVEDATE": "审核日期",
                "FSALEERID": "销售员", "FSETTLEORGID": "结算组织",
            },
            "FEntityPlan": {"FENDDATE": "到期日", "FPAYAMOUNTFOR": "应收金额"},
        },
    ),
    "AR_OtherRecAble": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "单据编号", "FDATE": "业务日期", "FENDDATE_H": "到期日",
                "FCONTACTUNITTYPE": "往来单位类型", "FCONTACTUNIT": "往来单位", "FCURRENCYID": "币别",
                "FAMOUNTFOR": "总金额", "FEXCHANGERATE": "汇率", "FDocumentStatus": "单据状态",
                "FCancelStatus": "作废状态", "FCREATEDATE": "创建日期", "FMODIFYDATE": "修改日期",
                "FWRITTENOFFSTATUS": "核销状态",
            }
        },
    ),
    "AR_RECEIVEBILL": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "单据编号", "FDATE": "业务日期", "FCONTACTUNITTYPE": "往来单位类型",
                "FCONTACTUNIT": "往来单位", "FPAYUNIT": "付款单位", "FCURRENCYID": "币别",
                "FEXCHANGERATE": "汇率", "FDOCUMENTSTATUS": "单据状态", "FCancelStatus": "作废状态",
                "FCREATEDATE": "创建日期", "FMODIFYDATE": "修改日期",
            },
            "FRECEIVEBILLENTRY": {
                "FRECTOTALAMOUNTFOR": "应收金额", "FRECAMOUNTFOR_E": "收款金额", "FSETTLETYPEID": "结算方式",
                "FPURPOSEID": "收款用途", "FWRITTENOFFAMOUNTFOR_D": "已核销金额",
            },
        },
    ),
    "AR_REFUNDBILL": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "单据编号", "FDATE": "业务日期", "FCONTACTUNITTYPE": "往来单位类型",
                "FCONTACTUNIT": "往来单位", "FCURRENCYID": "币别", "FREFUNDAMOUNTFOR": "应退金额",
                "FEXCHANGERATE": "汇率", "FDocumentStatus": "单据状态", "FCancelStatus": "作废状态",
                "FCREATEDATE": "创建日期", "FMODIFYDATE": "修改日期", "FWRITTENOFFSTATUS": "核销状态",
            }
        },
    ),
    "AR_BADDebtLoss": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "单据编号", "FDATE": "业务日期", "FCONTACTUNITTYPE": "往来单位类型",
                "FCONTACTUNIT": "往来单位", "FCURRENCYID": "币别", "FEXCHANGERATE": "汇率",
                "FDocumentStatus": "单据状态", "FCancelStatus": "作废状态", "FCREATEDATE": "创建日期",
                "FMODIFYDATE": "修改日期", "FREMARK": "坏账原因",
            },
            "FEntity": {"FLOSSAMOUNTFOR": "坏账损失金额", "FSRCBILLNO": "源单编号"},
        },
    ),
    "AR_BADDEBTRECOVEY": (
        "FID",
        {"FBillHead": {"FBillNo": "单据编号", "FDATE": "业务日期", "FMODIFYDATE": "修改日期"}},
    ),
    "AR_Match": (
        "FID",
        {
            "FBillHead": {
                "FBillNo": "核销序号", "FVERIFICATEDATE": "核销日期", "FISACTIVATION": "有效",
                "FCREATEDATE": "创建日期", "FMODIFYDATE": "修改日期",
            },
            "FEntity": {
                "FSOURCEFROMID": "源单类型", "FSRCBILLID": "源单内码", "FSRCBILLNO": "源单编号",
                "FTARGETFROMID": "目标单类型", "FTARGETBILLID": "目标单内码", "FTARGETBILLNO": "目标单编号",
                "FCURWRITTENOFFAMOUNTFOR": "本次核销金额",
            },
        },
    ),
    "BD_Rate": (
        "FRateID",
        {
            "FBillHead": {
                "FCyForID": "原币", "FCyToID": "目标币", "FExchangeRate": "直接汇率", "FBegDate": "生效日期",
                "FEndDate": "失效日期", "FCreateDate": "创建日期", "FModifyDate": "修改日期",
            }
        },
    ),
}  # fmt: skip


@dataclass
class Bill:
    """One document: header fields, and entry rows by entity, each with its FEntryID."""

    head: Record
    entries: dict[str, list[Record]] = field(default_factory=dict)


class Kingdee(StandIn):
    """One account set. Switches choose between behaviours that differ by version or are not documented."""

    def __init__(
        self,
        *,
        error_shape: Literal["nested", "list", "object"] = "nested",
        metadata: Literal["open", "denied"] = "open",
        limit_cap: int = 10_000,
        currency_code: bool = True,
        match_rows: Literal["both", "receivable", "receipt"] = "both",
        match_sign: Literal["signed", "positive"] = "signed",
        audits_are_changes: bool = True,
        renamed: dict[str, str] | None = None,
        without_forms: tuple[str, ...] = (),
        without_fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.error_shape = error_shape
        self.metadata = metadata
        self.limit_cap = limit_cap
        self.currency_code = currency_code
        self.match_rows = match_rows
        self.match_sign = match_sign
        self.audits_are_changes = audits_are_changes
        self.forms = {
            form: (
                key,
                {
                    entity: self._renamed(fields, renamed or {}, without_fields)
                    for entity, fields in entities.items()
                },
            )
            for form, (key, entities) in FORMS.items()
            if form not in without_forms
        }
        self._names = renamed or {}
        self.bills: dict[str, dict[int, Bill]] = defaultdict(dict)
        self.denied: set[str] = set()
        self.whitelisted = True
        self.now = datetime.fromisoformat("2026-03-02 09:00")
        self._ids = itertools.count(100_001)
        self._entry_ids = itertools.count(500_001)
        self._sessions: dict[str, float] = {}
        self._session_numbers = itertools.count(1)

    @staticmethod
    def _renamed(fields: dict[str, str], names: dict[str, str], without: tuple[str, ...]) -> dict[str, str]:
        return {names.get(name, name): label for name, label in fields.items() if name not in without}

    # --- the account set ---

    def tick(self, **by: float) -> None:
        self.now += timedelta(**by)

    def put(self, form: str, *, entries: dict[str, list[Record]] | None = None, **fields: Any) -> int:
        """Save a document, or change the one whose key is given; returns the key."""
        key_name = FORMS[form][0]
        key = fields.pop(key_name, None) or next(self._ids)
        old = self.bills[form].get(key)
        names = {name.lower(): name for name in FORMS[form][1]["FBillHead"]}
        head: Record = dict(old.head) if old else {
            key_name: key,
            names.get("fbillno", "FNumber"): f"{form[:6]}{key}",
            names.get("fdocumentstatus", "_"): "C",
            names.get("fcancelstatus", "_"): "A",
            names.get("fcreatedate", "_"): self.now, names.get("fapprovedate", "_"): self.now,
        }  # fmt: skip
        head |= fields
        head[names["fmodifydate"]] = self.now
        head.pop("_", None)
        kept = old.entries if old else {}
        if entries is not None:
            kept = {
                entity: [{"FEntryID": row.get("FEntryID") or next(self._entry_ids), **row} for row in rows]
                for entity, rows in entries.items()
            }
        self.bills[form][key] = Bill(head, kept)
        return int(key)

    def number(self, form: str, key: int) -> str:
        return str(self.bills[form][key].head["FBillNo"])

    def unaudit(self, form: str, key: int) -> None:
        """反审核: the document may be edited again."""
        self._mark(form, key, fdocumentstatus="D", fapprovedate=None)

    def audit(self, form: str, key: int) -> None:
        self._mark(form, key, fdocumentstatus="C", fapprovedate=self.now)

    def cancel(self, form: str, key: int) -> None:
        """作废."""
        self._mark(form, key, fcancelstatus="B", fdocumentstatus="A", fapprovedate=None)

    def _mark(self, form: str, key: int, **fields: Any) -> None:
        """Set fields of the header, named in lower case; by a switch this counts as a change, or not."""
        names = {name.lower(): name for name in FORMS[form][1]["FBillHead"]}
        changed = self.bills[form][key].head[names["fmodifydate"]]
        known = {names[name]: value for name, value in fields.items() if name in names}
        self.put(form, **{FORMS[form][0]: key, **known})
        if not self.audits_are_changes:
            self.bills[form][key].head[names["fmodifydate"]] = changed

    def delete(self, form: str, key: int) -> None:
        del self.bills[form][key]

    def match(self, receivable: tuple[str, int], credit: tuple[str, int], amount: Decimal, day: date) -> int:
        """Match a receivable with a receipt, a refund or a red receivable."""
        sides = [(receivable, credit, amount), (credit, receivable, amount)]
        if credit[0] == "AR_receivable" and self.match_sign == "signed":
            sides[1] = (credit, receivable, -amount)
        if self.match_rows == "receivable":
            sides = sides[:1]
        if self.match_rows == "receipt" and credit[0] != "AR_receivable":
            sides = sides[1:]
        rows = [
            {
                "FSOURCEFROMID": source[0], "FSRCBILLID": source[1], "FSRCBILLNO": self.number(*source),
                "FTARGETFROMID": target[0], "FTARGETBILLID": target[1], "FTARGETBILLNO": self.number(*target),
                "FCURWRITTENOFFAMOUNTFOR": signed,
            }
            for source, target, signed in sides
        ]  # fmt: skip
        return self.put(
            "AR_Match", FVERIFICATEDATE=day, FISACTIVATION="1", entries={"FEntity": rows},
            _sides=((receivable, amount), (credit, amount)),
        )  # fmt: skip

    def settled(self) -> dict[tuple[str, int], Decimal]:
        """What matches and bad debts have settled of each document, without sign."""
        sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
        for match in self.bills["AR_Match"].values():
            for document, amount in match.head["_sides"]:
                sums[document] += amount
        numbers = {
            bill.head["FBillNo"]: (form, key)
            for form in ("AR_receivable", "AR_OtherRecAble")
            for key, bill in self.bills[form].items()
        }
        for loss in self.bills["AR_BADDebtLoss"].values():
            for line in loss.entries["FEntity"]:
                sums[numbers[line["FSRCBILLNO"]]] += line["FLOSSAMOUNTFOR"]
        return sums

    # --- the protocol ---

    def answer(self, request: Request) -> Answer:
        service = request.path.removeprefix(PREFIX).removesuffix(".common.kdsvc")
        if not request.path.startswith(PREFIX):
            return Answer("", 403, "text/html")
        if service == "AuthService.ValidateUser":
            return self._login(request, [ACCOUNT_SET, USER, PASSWORD])
        if service == "AuthService.LoginByAppSecret":
            return self._login(request, [ACCOUNT_SET, USER, APP_ID, APP_SECRET])
        cookie = re.search(r"kdservice-sessionid=([^;]+)", request.headers.get("cookie", ""))
        session = cookie[1] if cookie else ""
        if self.clock - self._sessions.get(session, 0) > SESSION_SECONDS:
            return self.fault("会话信息已丢失，请重新登录")
        self._sessions[session] = self.clock
        if service == "DynamicFormService.ExecuteBillQuery":
            return self._query(json.loads(request.body["parameters"][0]))
        if service == "DynamicFormService.QueryBusinessInfo":
            return self._business_info(json.loads(request.body["parameters"][0]))
        return Answer("response_error: 服务不存在", 200, "text/plain")

    def fault(self, message: str, field_name: str | None = None) -> Answer:
        """An error as the live system sends it: status 200, in the shape of a result."""
        status = {
            "ErrorCode": 500, "IsSuccess": False, "MsgCode": 1,
            "Errors": [{"FieldName": field_name, "Message": message, "DIndex": 0}],
        }  # fmt: skip
        result: Any = {"Result": {"ResponseStatus": status}}
        wrapped = {"nested": [[result]], "list": [result], "object": result}
        return Answer(wrapped[self.error_shape])

    def end_sessions(self) -> None:
        self._sessions.clear()

    def _login(self, request: Request, expected: list[str]) -> Answer:
        given = request.body.get("parameters", [])
        if given[:-1] != expected:
            message = "用户名或密码错误" if given[:1] == expected[:1] else "数据中心无法获取到"
            return Answer({"LoginResultType": 0, "Message": message, "MessageCode": "CheckPasswordPolicy"})
        if not self.whitelisted:
            return Answer({"LoginResultType": -1, "Message": "未指定允许调用WebAPI接口的用户"})
        session = f"kd-session-{next(self._session_numbers)}-{'s' * 12}"
        self._sessions[session] = self.clock
        cookie = {"Set-Cookie": f"kdservice-sessionid={session}; path=/"}
        return Answer({"LoginResultType": 1, "Message": None, "KDSVCSessionId": session}, headers=cookie)

    def _business_info(self, wanted: Record) -> Answer:
        form = wanted.get("FormId")
        if form not in self.forms:
            return self.fault("业务对象不存在")
        if self.metadata == "denied":
            return self.fault("没有权限查询元数据")
        entities = [
            {
                "Key": entity,
                "Fields": [
                    {"Key": name, "Name": [{"Key": 2052, "Value": label}, {"Key": 1033, "Value": name}]}
                    for name, label in fields.items()
                ],
            }
            for entity, fields in self.forms[form][1].items()
        ]
        status = {"IsSuccess": True, "Errors": []}
        return Answer(
            {"Result": {"ResponseStatus": status, "NeedReturnData": {"Id": form, "Entrys": entities}}}
        )

    def _query(self, wanted: Record) -> Answer:
        form = wanted.get("FormId")
        if form not in self.forms:
            return self.fault("业务对象不存在")
        if form in self.denied:
            return self.fault(f"用户没有{form}的查看权限")
        limit = wanted.get("Limit") or self.limit_cap
        if limit > self.limit_cap:
            return self.fault(f"单次查询的行数不能超过{self.limit_cap}")
        names = [name.strip() for name in wanted["FieldKeys"].split(",")]
        entities = []
        for name in names:
            entity = self._entity_of(form, name)
            if entity is None:
                return self.fault(f"元数据中标识为{name.split('.')[0]}的字段不存在", name)
            if entity not in {"FBillHead", *entities}:
                entities.append(entity)
        if len(entities) > 1:
            return self.fault("不支持同时查询多个单据体")
        is_all = not wanted.get("FilterString") and not wanted.get("OrderString")
        rows = self._rows(form, entities[0] if entities else None, limit if is_all else None)
        try:
            found = self._select(form, rows, names, wanted, limit)
        except sqlite3.Error as error:
            return self.fault(f"当前查询串无法解析: {error}")
        return Answer(found)

    def _entity_of(self, form: str, name: str) -> str | None:
        key, entities = self.forms[form]
        base = name.split(".")[0]
        if base.lower() == key.lower():
            return "FBillHead"
        for entity, fields in entities.items():
            if base.lower() == f"{entity}_FEntryID".lower():
                return entity
            if base.lower() in {one.lower() for one in fields}:
                is_code = name.lower().endswith(".fcode")
                return entity if self.currency_code or not is_code else None
        return None

    def _rows(self, form: str, entity: str | None, most: int | None) -> list[Record]:
        """Header × lines, names in lower case; `most`: no more documents are looked at."""
        rows = []
        settled = self.settled() if form in SETTLED_FORMS else {}
        for bill in itertools.islice(self.bills[form].values(), most):
            lines = bill.entries.get(entity, [{}]) if entity else [{}]
            if form in SETTLED_FORMS:
                bill, lines = self._with_settled(form, bill, lines, settled)
            for line in lines:
                renamed = {f"{entity}_FEntryID": line.get("FEntryID")} if entity else {}
                row = {**bill.head, **line, **renamed}
                rows.append({name.lower(): value for name, value in row.items()})
        return rows

    @staticmethod
    def _with_settled(
        form: str, bill: Bill, lines: list[Record], settled: dict[tuple[str, int], Decimal]
    ) -> tuple[Bill, list[Record]]:
        """A document with what of it is settled: in its header, and of a receipt in its lines."""
        head = bill.head
        part = settled.get((form, head["FID"]), Decimal(0))
        entries = bill.entries.get("FRECEIVEBILLENTRY", ())
        whole = head.get(SETTLED_FORMS[form]) or sum(line["FRECTOTALAMOUNTFOR"] for line in entries)
        told = "A" if not part else "C" if part == abs(whole) else "B"
        signed = part if whole >= 0 else -part
        shown = Bill({**head, "FWRITTENOFFSTATUS": told, "FRELATEHADPAYAMOUNT": signed}, bill.entries)
        rest, filled = part, []
        for line in lines:
            taken = min(rest, line.get("FRECTOTALAMOUNTFOR", Decimal(0)))
            rest -= taken
            filled.append({**line, "FWRITTENOFFAMOUNTFOR_D": taken})
        return shown, filled

    def _select(
        self, form: str, rows: list[Record], names: list[str], wanted: Record, limit: int
    ) -> list[list[Any]]:
        """Answer with SQLite: FilterString and OrderString are SQL over the form's fields."""
        own = {name.lower() for fields in FORMS[form][1].values() for name in fields}
        back = {new.lower(): old.lower() for old, new in self._names.items() if old.lower() in own}
        mentioned = {
            token.lower()
            for text in (*names, wanted.get("FilterString") or "", wanted.get("OrderString") or "")
            for token in re.findall(r"[A-Za-z_][\w.]*", re.sub(r"'[^']*'", "", text))
            if self._entity_of(form, token)
        }
        table = [
            {
                name: self._value(row, back.get(name.split(".")[0], name.split(".")[0]), name)
                for name in mentioned
            }
            for row in rows
        ]
        ordered = sorted(mentioned)
        with sqlite3.connect(":memory:") as connection:
            named = ", ".join(f'"{name}"' for name in ordered)
            connection.execute(f"create table t ({named})")
            connection.executemany(
                f"insert into t values ({', '.join('?' * len(ordered))})",
                [[row[name] for name in ordered] for row in table],
            )
            chosen = ", ".join(f'"{name.lower()}"' for name in names)
            statement = f"select {chosen} from t"
            if wanted.get("FilterString"):
                statement += f" where {self._quoted(wanted['FilterString'], mentioned)}"
            if wanted.get("OrderString"):
                statement += f" order by {self._quoted(wanted['OrderString'], mentioned)}"
            statement += f" limit {limit} offset {wanted.get('StartRow') or 0}"
            return [list(row) for row in connection.execute(statement)]

    @staticmethod
    def _quoted(text: str, columns: set[str]) -> str:
        pieces = re.split(r"('[^']*')", text)
        return "".join(
            piece if piece.startswith("'") else re.sub(
                r"[A-Za-z_][\w.]*",
                lambda token: f'"{token[0].lower()}"' if token[0].lower() in columns else token[0],
                piece,
            )
            for piece in pieces
        )  # fmt: skip

    def _value(self, row: Record, base: str, name: str) -> Any:
        value = row.get(base)
        if name.endswith(".fcode"):
            return CURRENCIES.get(str(value), value)
        if isinstance(value, datetime):
            return value.isoformat(timespec="seconds")
        if isinstance(value, date):
            return f"{value.isoformat()}T00:00:00"
        return float(value) if isinstance(value, Decimal) else value


def is_query(form: str, *, later: bool = False) -> Any:
    """Picks the bill queries of one form; with `later`, only those that follow a first page."""

    def matches(request: Request) -> bool:
        if not request.path.endswith("ExecuteBillQuery.common.kdsvc"):
            return False
        wanted = json.loads(request.body["parameters"][0])
        return wanted["FormId"] == form and (not later or "ID>" in wanted.get("FilterString", ""))

    return matches
